"""Every number that a folder carries, and what follows from its scored logs: the sources of the README's numbers.

Carried are the numbers of the logs, of submission.json and other JSON, of scripts and of the named lines of known.toml, and
file sizes. From
the scored logs follow means, deviations, ranges, differences, seconds, megabytes, bytes below the cap, Student's interval
and Welch's tests against the published lines that README.md or submission.json name.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product
from math import isfinite, log

from recur.record.check.limits import CAP_BYTES
from recur.record.check.logs import Kind
from recur.record.check.submission import JSON, README, ScoredLog, Submission
from recur.record.check.unwrap import unwrap
from recur.record.known import KnownRecord, known_lines
from recur.record.stats import Spread, spread
from recur.record.stats.arm import arm_of_known
from recur.record.stats.moments import moments
from recur.record.stats.units import MARGIN_NATS, implied_bytes_per_token, margin_bpb
from recur.record.stats.welch import interval, welch_of

_ANY = re.compile(r"\d{1,3}(?:[,_]\d{3})+(?:\.\d{1,15})?|\d{1,15}(?:\.\d{1,15})?(?:[eE][-+]?\d{1,2})?")
_MANY = 1_000_000


class Carried:
    """Numbers with a source, asked at the digits of the one that asks."""

    def __init__(self, values: Iterable[float]) -> None:
        self._sorted = sorted({abs(v) for v in values if isfinite(v)})

    def has(self, value: float, decimals: int) -> bool:
        """Whether a number with a source is ``value`` when rounded to ``decimals`` digits after the point."""
        half = 0.5 * 10.0**-decimals * (1 + 1e-6)
        i = bisect_left(self._sorted, abs(value) - half)
        return i < len(self._sorted) and self._sorted[i] <= abs(value) + half


def sources(sub: Submission) -> list[float]:
    """All numbers with a source."""
    found: list[float] = []
    for ending in ((".json", ".log", ".txt"), (".py", ".toml"), (".jsonl",)):
        for name, text in sub.texts.items():
            if name.endswith(ending):
                plain = unwrap(text.text).source if name.endswith(".py") else text.text
                found.extend(islice(numbers_in(plain), max(0, _MANY - len(found))))
    found += [float(size) for size in sub.listing.files.values()]
    for line in _mentioned(sub):
        found += _of_known(line)
    return found + _derived(sub) + _tests(sub) + [v / 1000 for v in _clocks(sub)]


def numbers_in(text: str) -> Iterator[float]:
    """Every number in a text, without its sign."""
    for match in _ANY.finditer(text):
        yield float(match.group().replace(",", "").replace("_", ""))


def _mentioned(sub: Submission) -> list[KnownRecord]:
    """The published lines whose numbers README.md or submission.json name."""
    texts = [text.text for name in (README, JSON) if (text := sub.texts.get(name)) is not None]
    numbers = {number for text in texts for number in re.findall(r"(?<![\d.,])\d{3,5}(?![\d.,]\d)", text)}
    return [line for line in known_lines() if str(line.pr) in numbers]


def _per_seed(scored: ScoredLog) -> dict[str, float]:
    log_, score = scored.log, scored.score
    trained, roundtrip = log_.score(Kind.TRAINED), log_.score(Kind.ROUNDTRIP)
    pairs = {
        "val_bpb": score.val_bpb,
        "val_loss": score.val_loss,
        "trained_bpb": trained.val_bpb if trained else None,
        "trained_loss": trained.val_loss if trained else None,
        "roundtrip_bpb": roundtrip.val_bpb if roundtrip else None,
        "roundtrip_loss": roundtrip.val_loss if roundtrip else None,
        "total": log_.total_bytes,
        "code": log_.code_bytes,
        "model": log_.model_bytes,
        "steps": log_.steps,
        "train_ms": log_.train_ms,
        "eval_ms": score.eval_ms,
        "pruned": log_.pruned,
    }
    found = {name: value.value for name, value in pairs.items() if value is not None}
    if found.get("steps") and "train_ms" in found:
        found["step_ms"] = found["train_ms"] / found["steps"]
    return found


def _spreads(sub: Submission) -> dict[str, Spread]:
    rows = [_per_seed(s) for s in sub.scored]
    names = set(rows[0]).intersection(*rows) if rows else set()
    return {name: found for name in sorted(names) if (found := spread([row[name] for row in rows])) is not None}


def deviations(sub: Submission, names: Sequence[str] = ()) -> list[float]:
    """Sample and population deviations of what the scored logs give a seed: of ``names``, or of everything."""
    found = [s for name, s in _spreads(sub).items() if not names or name in names]
    return [sd for s in found for sd in (s.sd, s.sd_population) if sd is not None]


def known_deviations() -> dict[int, float]:
    """Deviation of each published line's seeds, by pull request."""
    return {k.pr: sd for k in known_lines() if len(k.seeds) > 1 and (sd := k.val_bpb.sd) is not None}


def _clocks(sub: Submission) -> list[float]:
    rows = [_per_seed(s) for s in sub.scored]
    found = [row[name] for row in rows for name in ("train_ms", "eval_ms") if name in row]
    return found + [s.mean for name, s in _spreads(sub).items() if name in ("train_ms", "eval_ms")]


def _derived(sub: Submission) -> list[float]:
    """What follows from the scored logs: statistics, differences, unit changes, tests against the published lines."""
    mentioned = _mentioned(sub)
    spreads, rows = _spreads(sub), [_per_seed(s) for s in sub.scored]
    found: list[float] = []
    for name, s in spreads.items():
        found += [s.mean, s.sd or 0.0, s.sd_population, s.low, s.high, s.high - s.low]
        found += [row[name] - s.mean for row in rows]
    for row in rows:
        found += _of_seed(row)
    found += _differences([s.mean for s in spreads.values()])
    if "total" in spreads:
        found += [spreads["total"].mean / 1e6, CAP_BYTES - spreads["total"].mean]
    for row in [*rows, {name: s.mean for name, s in spreads.items()}]:
        found += [row["val_bpb"] - line.score_bpb for line in mentioned if "val_bpb" in row]
        found += [row["val_loss"] - loss for line in mentioned if "val_loss" in row and (loss := known_loss(line)) is not None]
    for name in ("val_bpb", "val_loss"):
        values = [row[name] for row in rows if name in row and isfinite(row[name])]
        if len(values) > 1:
            ends = interval(values)
            found += [ends.low, ends.high]
    return found


def _of_seed(row: dict[str, float]) -> list[float]:
    found = _differences(list(row.values()))
    if row["val_bpb"] > 0:
        found += [row["val_loss"] / row["val_bpb"] / log(2.0), row["val_bpb"] * log(2.0), row["val_loss"] / log(2.0)]
    sizes = [v for k, v in row.items() if k in ("total", "code", "model")]
    found += [v / unit for v in sizes for unit in (1e3, 1e6, 2**20)]
    return found + ([CAP_BYTES - row["total"]] if "total" in row else [])


def _differences(values: list[float]) -> list[float]:
    return [a - b for a, b in product(values, repeat=2) if a > b]


def _tests(sub: Submission) -> list[float]:
    """Welch's tests against the named lines, with and without the margin, in BPB, nats per token and nats per byte."""
    rows = [s.score for s in sub.scored]
    scores, losses = [r.val_bpb.value for r in rows], [r.val_loss.value for r in rows]
    if len(rows) < 2 or not all(isfinite(v) and v > 0 for v in scores + losses):
        return []
    margin = margin_bpb(implied_bytes_per_token(losses[0], scores[0]))
    found: list[float] = []
    for line in _mentioned(sub):
        arm = arm_of_known(line)
        for mine, theirs, least in ((scores, arm.bpb, margin), (losses, arm.loss, MARGIN_NATS)):
            if theirs is None:
                continue
            for test in (welch_of(moments(mine), theirs), welch_of(moments(mine), theirs, margin=least)):
                given = (test.difference, test.margin, test.se, test.t, test.df, test.p_one_sided, test.p_two_sided)
                opposite = [] if test.p_two_sided is None else [test.p_two_sided / 2]
                found += [v for v in given if v is not None] + opposite
                found += [test.difference * log(2.0), test.margin * log(2.0), test.interval().low, test.interval().high]
    return found


def known_loss(line: KnownRecord) -> float | None:
    """Mean loss of a published line, nats per token; None where neither its seeds' losses nor their mean is known."""
    found = arm_of_known(line).loss
    if found is None:
        return line.means.val_loss if line.means is not None else None
    return found.mean


def _of_known(line: KnownRecord) -> list[float]:
    arm = arm_of_known(line)
    given = [line.score_bpb, *_given(line)]
    for part in (line.means, *line.seeds):
        given += _given(part) if part is not None else []
    for found in (arm.bpb, arm.loss):
        given += [found.mean, found.sd] if found is not None else []
    return given + ([arm.bytes.mean] if arm.bytes is not None else [])


def _given(part: object) -> list[float]:
    return [float(v) for v in vars(part).values() if isinstance(v, int | float)]
