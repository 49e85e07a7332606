"""The challenge's limits as far as a folder shows them: bytes of every seed, both clocks, number of seeds, one configuration.

The byte cap binds each seed: 16,000,000 decimal bytes, a warning above 15,990,000 unless the folder ships the seed's artifact,
whose bytes are then counted (`recur.record.check.code.check_artifacts`). Training plus the reading of training
data for calibration has 600 s, evaluation another 600 s. Published runs that ended some tenths of a second late, with the
step in flight, were accepted; ones late by more than a second were not (RULES B2 2, 3 and 6), hence the two levels.
"""

from __future__ import annotations

from collections.abc import Iterator

from recur.record.check.finding import Finding, Level, error, graded, note, warning
from recur.record.check.logs import SeedLog
from recur.record.check.submission import JSON, Submission

CAP_BYTES = 16_000_000
NEAR_CAP_BYTES = 15_990_000
CLOCK_S = 600.0
ACCEPTED_OVERRUN_S = 1.0
MIN_SEEDS = 3
_PER_RUN = {"seed", "run_id", "logfile", "rank", "local_rank", "is_main_process", "log_dir", "out_dir", "Version", "Pwr"}


def check_cap(sub: Submission) -> Iterator[Finding]:
    """Bytes of every seed, from its log, else from seed_results, else bytes_total."""
    logged = {s.seed: s for s in sub.scored if s.log.total_bytes}
    for seed, scored in logged.items():
        total = scored.log.total_bytes
        if total is not None:
            counted = seed in sub.artifacts.values()
            yield from _cap(f"seed {seed}", total.value, scored.log.file, total.line, counted=counted)
    results = sub.document.get("seed_results")
    for key in results if isinstance(results, dict) else ():
        given = sub.document.number("seed_results", key, "artifact_bytes")
        if given is not None and not (key.isascii() and key.isdecimal() and int(key[:18]) in logged):
            yield from _cap(f"seed {key[:20]}", given.value, JSON, given.line)
    given = sub.document.number("bytes_total")
    if given is not None and not logged:
        yield from _cap("bytes_total", given.value, JSON, given.line)


def _cap(what: str, total: float, file: str, line: int, *, counted: bool = False) -> Iterator[Finding]:
    """``counted``: the artifact lies in the folder, so its bytes are no claim."""
    if total > CAP_BYTES:
        over = total - CAP_BYTES
        said = f"{what}: {total:,.0f} bytes are {over:,.0f} above the cap of {CAP_BYTES:,}"
        yield error("over_cap", said, "make the artifact smaller", file=file, line=line)
    elif total > NEAR_CAP_BYTES and not counted:
        said = f"{what}: {total:,.0f} bytes leave {CAP_BYTES - total:,.0f} below the cap"
        yield warning("near_cap", said, "recount the shipped files byte by byte", file=file, line=line)


def check_clocks(sub: Submission) -> Iterator[Finding]:
    """Training with calibration, and the evaluation that gave the score, 600 s each."""
    for scored in sub.scored:
        log = scored.log
        if log.train_ms is not None:
            yield from _training(log, log.train_ms.value / 1000, log.train_ms.line)
        if log.generated_s is not None:
            said = f"the log says that calibration text was generated in {log.generated_s.value:g} s, beside the training clock"
            yield note("calibration_generated", said, file=log.file, line=log.generated_s.line)
        took = scored.score.eval_ms
        if took is not None and took.value > CLOCK_S * 1000:
            said = f"{scored.score.label} took {took.value / 1000:.1f} s of {CLOCK_S:.0f}"
            yield error("eval_clock", said, "make the evaluation faster", file=log.file, line=took.line)


def _training(log: SeedLog, train_s: float, line: int) -> Iterator[Finding]:
    read_s = log.calibration_s.value if log.calibration_s else 0.0
    over = train_s + read_s - CLOCK_S
    if over <= 0:
        return
    level = Level.ERROR if over > ACCEPTED_OVERRUN_S else Level.WARNING
    reading = f" + reading data for calibration {read_s:.1f} s" if read_s else ""
    said = f"training {train_s:.3f} s{reading} is {over:.3f} s above {CLOCK_S:.0f} s"
    yield graded(level, "train_clock", said, "stop earlier; keep calibration inside the clock", file=log.file, line=line)


def check_runs(sub: Submission) -> Iterator[Finding]:
    """At least three seeds, each log of the seed in its name, all with one configuration; dates that fit."""
    n = len(sub.scored)
    if sub.logs and n < MIN_SEEDS:
        said = f"{n} seed{'s' * (n != 1)} with a score; {MIN_SEEDS} are asked for"
        yield graded(Level.ERROR if n == 0 else Level.WARNING, "few_seeds", said, "run more seeds")
    for log in sub.logs:
        if log.seed and log.seed_in_name is not None and int(log.seed.value) != log.seed_in_name:
            said = f"is of seed {int(log.seed.value)}, its name says {log.seed_in_name}"
            yield error("seed_in_name", said, "name the file after its seed", file=log.file, line=log.seed.line)
    seeds = [log.seed_number for log in sub.logs if log.finals]
    for seed in sorted({s for s in seeds if s is not None and seeds.count(s) > 1}):
        said = f"seed {seed} has {seeds.count(seed)} scored logs; the last by name counts"
        yield warning("seed_twice", said, "say which run counts, and why")
    yield from _configurations(sub)
    yield from _dates(sub)


def _configurations(sub: Submission) -> Iterator[Finding]:
    logs = [s.log for s in sub.scored]
    for key in sorted({k for log in logs for k in log.settings} - _PER_RUN):
        values = {log.file: log.settings.get(key, "not given") for log in logs}
        if len(set(values.values())) < 2:
            continue
        odd = _odd_one(logs, values)
        said = f"{key} differs between seeds: {', '.join(f'{_short(f)} {v[:40]}' for f, v in values.items())}"
        remedy = "run all seeds with one configuration"
        yield warning("settings_differ", said, remedy, file=odd.file, line=odd.setting_lines.get(key))


def _odd_one(logs: list[SeedLog], values: dict[str, str]) -> SeedLog:
    """The log whose value is the rarest."""
    given = list(values.values())
    return min(logs, key=lambda log: given.count(values[log.file]))


def _short(file: str) -> str:
    return file.rpartition("/")[2].removeprefix("train_").removesuffix(".log")


def _dates(sub: Submission) -> Iterator[Finding]:
    parts = sub.document.text("date")[:10].split("-")
    if len(parts) != 3 or not all(p.isascii() and p.isdecimal() for p in parts):
        return
    day = tuple(int(p) for p in parts)
    later = [log for log in sub.logs if log.written and log.written > day[-len(log.written) :]]
    if later:
        last = max(later, key=lambda log: log.written)
        written = "-".join(f"{part:02d}" for part in last.written)
        said = (
            f"{len(later)} of {len(sub.logs)} logs are later than date={sub.document.text('date')[:10]}; the last is of {written}"
        )
        yield note("log_after_date", said, "check the date", file=last.file, line=1)
