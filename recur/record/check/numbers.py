"""submission.json against the logs: means and deviations, every seed's results, bytes, steps and times.

A number is compared at the precision it was printed with: within 1e-8 or half a unit of its last digit. Deviations are
sample deviations (divisor n - 1); one with divisor n is named as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from recur.record.check.document import Number
from recur.record.check.finding import Finding, error, note, warning
from recur.record.check.logs import Kind, Logged
from recur.record.check.submission import JSON, ScoredLog, Submission
from recur.record.stats import Spread, spread

_FROM_LOGS = "write it from the logs"


def check_means(sub: Submission) -> Iterator[Finding]:
    """Means and deviations of the scores."""
    n = len(sub.scored)
    for name in ("val_bpb", "val_loss"):
        exact = spread([_score(s, name).value for s in sub.scored])
        if exact is None:
            continue
        if given := sub.document.number(name):
            yield from _mean(sub, name, given, exact)
        if (given := sub.document.number(f"{name}_std")) and exact.sd is not None:
            yield from _deviation(f"{name}_std", given, exact, n)
        trained = [t for s in sub.scored if (t := _trained(s, name)) is not None]
        if (given := sub.document.number(f"pre_quant_{name}")) and len(trained) == n:
            mean = sum(t.value for t in trained) / n
            slack = max(0.5 * 10.0**-t.decimals for t in trained)
            if not given.agrees(mean) and abs(given.value - mean) > given.half_unit + slack:
                yield _differs(f"pre_quant_{name}", given, mean, f"the mean of the {n} logs")


def _mean(sub: Submission, name: str, given: Number, exact: Spread) -> Iterator[Finding]:
    if given.agrees(exact.mean):
        return
    printed = [sub.document.number("seed_results", str(s.seed), name) for s in sub.scored]
    values = [p.value for p in printed if p is not None]
    if len(values) == exact.n and given.agrees(sum(values) / exact.n):
        said = f"{name}={given.text} is the mean of scores that had been rounded; the {exact.n} logs give {exact.mean:.8f}"
        yield warning(f"{name}_rounded", said, "average first, round last", file=JSON, line=given.line)
        return
    yield _differs(name, given, exact.mean, f"the mean of the {exact.n} logs", code=f"{name}_not_mean")


def _deviation(name: str, given: Number, exact: Spread, n: int) -> Iterator[Finding]:
    if exact.sd is None or given.agrees(exact.sd):
        return
    if given.agrees(exact.sd_population):
        said = f"{name}={given.text} divides by n; the sample deviation of the {n} logs is {exact.sd:.8f}"
        yield warning(f"{name}_population", said, "divide by n - 1", file=JSON, line=given.line)
        return
    yield _differs(name, given, exact.sd, f"the sample deviation of the {n} logs")


def check_seeds(sub: Submission) -> Iterator[Finding]:
    """seeds, seed_results and logs name the same runs, and each result is that of its log."""
    document = sub.document
    by_seed = {s.seed: s for s in sub.scored}
    results = document.get("seed_results")
    keys = [k for k in results if k.isascii() and k.isdecimal() and len(k) < 19] if isinstance(results, dict) else []
    listed = document.get("seeds")
    seeds = [s for s in listed if isinstance(s, int) and not isinstance(s, bool)] if isinstance(listed, list) else []
    if keys and seeds and {int(k) for k in keys} != set(seeds):
        said = f"seeds={sorted(set(seeds))} but seed_results has {sorted(int(k) for k in keys)}"
        yield error("seeds_differ", said, "name the same seeds in both", file=JSON, line=document.line("seeds"))
    for seed in sorted({int(k) for k in keys} | set(seeds)):
        if seed not in by_seed and sub.logs:
            place = document.line("seed_results", str(seed))
            yield error("seed_without_log", f"seed {seed} has no log with a score", "ship its log", file=JSON, line=place)
    for scored in sub.scored:
        if (keys or seeds) and scored.seed not in {int(k) for k in keys} | set(seeds):
            said = f"seed {scored.seed} has a log but is in neither seeds nor seed_results"
            yield warning("seed_not_listed", said, "list every run of this configuration", file=scored.log.file)
        for key in keys:
            if int(key) == scored.seed:
                yield from _seed_result(sub, key, scored)


def _seed_result(sub: Submission, key: str, scored: ScoredLog) -> Iterator[Finding]:
    log, score = scored.log, scored.score
    pairs: tuple[tuple[str, Logged | None, float], ...] = (
        ("val_bpb", score.val_bpb, 1.0),
        ("val_loss", score.val_loss, 1.0),
        ("artifact_bytes", log.total_bytes, 1.0),
        ("steps", log.steps, 1.0),
        ("train_time_s", log.train_ms, 1e-3),
        ("eval_time_s", score.eval_ms, 1e-3),
        ("pre_quant_val_bpb", _trained(scored, "val_bpb"), 1.0),
        ("pre_quant_val_loss", _trained(scored, "val_loss"), 1.0),
    )
    for name, logged, unit in pairs:
        given = sub.document.number("seed_results", key, name)
        if given is None or logged is None:
            continue
        exact = logged.value * unit
        if not given.agrees(exact) and abs(given.value - exact) > given.half_unit + 0.5 * 10.0**-logged.decimals * unit:
            yield _differs(f"seed_results.{key}.{name}", given, exact, f"{log.file}:{logged.line}")
    given = sub.document.number("seed_results", key, "step_avg_ms")
    if given and log.train_ms and log.steps and log.steps.value > 0:
        exact = log.train_ms.value / log.steps.value
        # logs truncate as often as they round: a whole unit of the last digit is allowed
        if abs(given.value - exact) > 2 * given.half_unit:
            yield _differs(f"seed_results.{key}.step_avg_ms", given, exact, f"time over steps in {log.file}")


def check_bytes(sub: Submission) -> Iterator[Finding]:
    """Bytes of code, model and both, in the JSON and inside each log."""
    for scored in sub.scored:
        log = scored.log
        if log.total_bytes and log.model_bytes and log.code_bytes:
            parts = log.model_bytes.value + log.code_bytes.value
            if parts != log.total_bytes.value:
                said = f"total {log.total_bytes.value:.0f} bytes, but model {log.model_bytes.value:.0f} + code"
                said += f" {log.code_bytes.value:.0f} = {parts:.0f}"
                yield error("log_bytes", said, "recount the bytes", file=log.file, line=log.total_bytes.line)
    totals = {s.seed: s.log.total_bytes.value for s in sub.scored if s.log.total_bytes}
    if totals and (given := sub.document.number("bytes_total")):
        yield from _total(given, totals)
    codes = {s.log.code_bytes.value for s in sub.scored if s.log.code_bytes}
    if len(codes) == 1 and (given := sub.document.number("bytes_code")) and given.value not in codes:
        yield _differs("bytes_code", given, codes.pop(), "`Code size` of the logs")
    if len(codes) > 1:
        said = f"the logs name {len(codes)} code sizes: {', '.join(f'{c:.0f}' for c in sorted(codes))}"
        yield error("code_differs", said, "run every seed with the same script", file=sub.scored[0].log.file)


def _total(given: Number, totals: dict[int, float]) -> Iterator[Finding]:
    largest = max(totals, key=lambda seed: totals[seed])
    mean = sum(totals.values()) / len(totals)
    if given.value == totals[largest]:
        return
    most = f"seed {largest} has {totals[largest]:.0f}"
    remedy = "give the largest seed's bytes"
    if abs(given.value - mean) < 1:
        said = f"bytes_total={given.text} is a mean although the cap binds each seed; {most}"
        yield warning("bytes_total_is_mean", said, remedy, file=JSON, line=given.line)
    elif given.value in totals.values():
        said = f"bytes_total={given.text} is not the largest seed's; {most}"
        yield warning("bytes_total_not_largest", said, remedy, file=JSON, line=given.line)
    else:
        yield _differs("bytes_total", given, totals[largest], "the largest total of the logs")


def check_aggregates(sub: Submission) -> Iterator[Finding]:
    """Means and maxima of bytes, steps and times that some submissions give."""
    aggregates: tuple[tuple[str, Callable[[Sequence[float]], float], Callable[[ScoredLog], float | None]], ...] = (
        ("artifact_bytes_mean", _average, lambda s: s.log.total_bytes.value if s.log.total_bytes else None),
        ("artifact_bytes_max", max, lambda s: s.log.total_bytes.value if s.log.total_bytes else None),
        ("bytes_model", max, lambda s: s.log.model_bytes.value if s.log.model_bytes else None),
        ("train_steps_mean", _average, lambda s: s.log.steps.value if s.log.steps else None),
        ("step_avg_ms_mean", _average, _step_ms),
    )
    for name, combine, value_of in aggregates:
        given = sub.document.number(name)
        values = [v for s in sub.scored if (v := value_of(s)) is not None]
        if given is None or not values or len(values) < len(sub.scored):
            continue
        exact = combine(values)
        if abs(given.value - exact) > 2 * given.half_unit:
            yield _differs(name, given, exact, "the logs")


def check_counted(sub: Submission) -> Iterator[Finding]:
    """Logs without a score, with several runs, or with several final scores: which one counts."""
    for log in sub.logs:
        if not log.finals:
            said = "no final score is found; the log is of another format or unfinished"
            yield error("log_without_score", said, "ship the whole log of the run", file=log.file, line=1)
        elif odd := [s for s in log.finals if not s.sane]:
            said = f"{odd[0].label}: val_loss {odd[0].val_loss.value:g}, val_bpb {odd[0].val_bpb.value:g} are no scores"
            yield error("score_not_sane", said, "run the seed again", file=log.file, line=odd[0].val_bpb.line)
        elif log.seed_number is None:
            yield error("log_without_seed", "names no seed", "ship it as train_seed<N>.log", file=log.file, line=1)
        if log.runs > 1:
            yield warning(
                "several_runs", f"holds {log.runs} runs; the last scored one counts", "ship one run a log", file=log.file
            )
    for scored in sub.scored:
        yield from _other_scores(scored)


def _other_scores(scored: ScoredLog) -> Iterator[Finding]:
    counted = scored.score
    for other in scored.log.finals:
        line = other.val_bpb.line
        if other.label == counted.label or (other.kind is Kind.ROUNDTRIP and other.val_bpb.value != counted.val_bpb.value):
            continue
        if other.val_bpb.value == counted.val_bpb.value:
            said = f"{other.label} repeats the score of {counted.label} under another name"
        else:
            gap = other.val_bpb.value - counted.val_bpb.value
            said = f"{other.label} scores {other.val_bpb.value:.8f} ({gap:+.5f}); {counted.label} at line"
            said += f" {counted.val_bpb.line} counts ({counted.val_bpb.value:.8f})"
        yield note("other_score", said, file=scored.log.file, line=line)


def _score(scored: ScoredLog, name: str) -> Logged:
    return scored.score.val_bpb if name == "val_bpb" else scored.score.val_loss


def _trained(scored: ScoredLog, name: str) -> Logged | None:
    trained = scored.log.score(Kind.TRAINED)
    if trained is None:
        return None
    return trained.val_bpb if name == "val_bpb" else trained.val_loss


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _step_ms(scored: ScoredLog) -> float | None:
    log = scored.log
    return log.train_ms.value / log.steps.value if log.train_ms and log.steps and log.steps.value > 0 else None


def _differs(name: str, given: Number, exact: float, source: str, *, code: str | None = None) -> Finding:
    said = f"{name}={given.text}, but {source} gives {_printed(given, exact)}"
    return error(code or f"{name.rpartition('.')[2]}_differs", said, _FROM_LOGS, file=JSON, line=given.line)


def _printed(given: Number, exact: float) -> str:
    if given.decimals == 0 and exact == round(exact):
        return f"{exact:.0f}"
    return f"{exact:.{max(given.decimals, 8 if given.value < 100 else 2)}f}"
