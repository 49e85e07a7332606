"""Numbers in the README that nothing in the folder carries.

Looked at are numbers with three or more decimals and whole numbers from 1,000 on, outside code, links and dates. Each must
be, at the digits it is printed with, a number of the logs, of submission.json, of a script or of known.toml, or follow from
the scored logs: mean, deviation, range, a difference from another mean, seconds, megabytes, bytes below the cap. A number
that is called a deviation must be one. Missing a wrong number is preferred to a false alarm.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import product
from math import isfinite, log

from markdown_it.token import Token

from recur.record.check.finding import Finding, error, warning
from recur.record.check.limits import CAP_BYTES
from recur.record.check.logs import Kind
from recur.record.check.markdown import parse
from recur.record.check.read import Text
from recur.record.check.submission import ScoredLog, Submission
from recur.record.known import KnownRecord, known_lines
from recur.record.stats import Spread, spread
from recur.record.stats.arm import arm_of_known
from recur.record.stats.moments import moments
from recur.record.stats.units import MARGIN_NATS, implied_bytes_per_token, margin_bpb
from recur.record.stats.welch import interval, welch_of

_NUMBER = re.compile(r"(?<![\w.,/#-])[-+−]?(\d{1,3}(?:[,_]\d{3})+|\d{1,15})(\.\d{1,15})?(?![\w/]|[.,]\d)")
_ANY = re.compile(r"\d{1,3}(?:[,_]\d{3})+(?:\.\d{1,15})?|\d{1,15}(?:\.\d{1,15})?(?:[eE][-+]?\d{1,2})?")
_SKIPPED = re.compile(
    r"`[^`]*`|https?://\S+|\]\([^)]*\)|<!--.*?-->|<[^>]{0,300}>|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?"
    r"|\b(?:PR|issue|seeds?|pull)\s*#?\s*\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*|\b(?:19|20)\d\d\b(?=\W*(?:\)|$|[A-Z]))",
    re.IGNORECASE,
)
_DEVIATION = re.compile(
    r"(?:±|\+/-|\b(?:std|stdev|sd|σ|(?:standard |sample )?deviation)\b[^\d\n]{0,25}?)\s*(\d\.\d{3,12})(?!\d)", re.IGNORECASE
)
_MANY = 200_000
_MIN_DECIMALS, _MIN_INTEGER = 3, 1000
_POWERS = {2**k for k in range(10, 21)}
_RULES = {16_000_000, 15_990_000, 16_777_216, 50_000}


class _Carried:
    """Numbers with a source, asked at the digits of the one that asks."""

    def __init__(self, values: Iterable[float]) -> None:
        self._sorted = sorted({abs(v) for v in values if isfinite(v)})

    def has(self, value: float, decimals: int) -> bool:
        half = 0.5 * 10.0**-decimals * (1 + 1e-6)
        i = bisect_left(self._sorted, abs(value) - half)
        return i < len(self._sorted) and self._sorted[i] <= abs(value) + half


def check_readme(sub: Submission) -> Iterator[Finding]:
    """Numbers of README.md without a source, and deviations that are none. Nothing to compare with: no finding."""
    readme = sub.readme
    if readme is None or not (sub.logs or sub.document.data):
        return
    carried = _Carried(_sources(sub))
    deviations = _deviations(sub)
    code_lines = _code_lines(parse(readme.text))
    for number, raw in enumerate(readme.lines(), start=1):
        if number in code_lines:
            continue
        line = _SKIPPED.sub(lambda m: " " * len(m.group()), raw)
        named = {m.start(1): m.group(1) for m in _DEVIATION.finditer(line)}
        for text in named.values():
            yield from _named_deviation(text, deviations, carried, readme.name, number)
        for match in _NUMBER.finditer(line):
            if match.start(1) not in named and (bad := _unsourced(match, carried)) is not None:
                said = f"{bad} is in no log, not in submission.json, and follows from neither"
                remedy = "write it from the logs, or name its source"
                yield warning("number_without_source", said, remedy, file=readme.name, line=number)


def _unsourced(match: re.Match[str], carried: _Carried) -> str | None:
    whole, fraction = match.group(1).replace(",", "").replace("_", ""), match.group(2) or ""
    decimals, value = max(0, len(fraction) - 1), float(whole + fraction)
    if decimals < _MIN_DECIMALS and (decimals > 0 or value < _MIN_INTEGER):
        return None
    if decimals == 0 and (int(value) in _POWERS or int(value) in _RULES):
        return None
    return None if carried.has(value, decimals) else match.group().strip()


def _named_deviation(text: str, exact: list[Spread], carried: _Carried, file: str, line: int) -> Iterator[Finding]:
    decimals = len(text.partition(".")[2])
    sds = [sd for s in exact for sd in (s.sd, s.sd_population) if sd is not None]
    if not sds or _Carried([*sds, *_known_deviations()]).has(float(text), decimals):
        return
    if not carried.has(float(text), decimals) or float(text) < 10 * max(sds):
        near = min(sds, key=lambda sd: abs(sd - float(text)))
        said = f"{text} is called a deviation; the nearest of the logs is {near:.6f}"
        yield error("deviation_differs", said, "write it from the logs", file=file, line=line)


def _code_lines(tokens: list[Token]) -> set[int]:
    """Lines (from 1) inside fenced or indented code and HTML blocks."""
    spans = [t.map for t in tokens if t.map is not None and t.type in ("fence", "code_block", "html_block")]
    return {i + 1 for a, b in spans for i in range(a, b)}


def _sources(sub: Submission) -> list[float]:
    found: list[float] = []
    for name, text in sub.texts.items():
        if name.endswith((".log", ".json", ".jsonl", ".txt", ".py", ".toml")):
            found += list(numbers_in(text))[: _MANY - len(found)]
    found += [float(size) for size in sub.listing.files.values()]
    for line in known_lines():
        found += _of_known(line)
    return found + _derived(sub) + _tests(sub) + [v / 1000 for v in _clocks(sub)]


def numbers_in(text: Text) -> Iterator[float]:
    """Every number in a text, without its sign."""
    for match in _ANY.finditer(text.text):
        yield float(match.group().replace(",", "").replace("_", ""))


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


def _deviations(sub: Submission) -> list[Spread]:
    return list(_spreads(sub).values())


def _known_deviations() -> list[float]:
    found = [line.published_std for line in known_lines()]
    found += [line.val_bpb.sd for line in known_lines() if len(line.seeds) > 1]
    return [sd for sd in found if sd is not None]


def _clocks(sub: Submission) -> list[float]:
    rows = [_per_seed(s) for s in sub.scored]
    found = [row[name] for row in rows for name in ("train_ms", "eval_ms") if name in row]
    return found + [s.mean for name, s in _spreads(sub).items() if name in ("train_ms", "eval_ms")]


def _derived(sub: Submission) -> list[float]:
    """What follows from the scored logs: statistics, differences, unit changes, tests against the published lines."""
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
        found += [row["val_bpb"] - line.score_bpb for line in known_lines() if "val_bpb" in row]
        found += [row["val_loss"] - line.val_loss.mean for line in known_lines() if line.seeds and "val_loss" in row]
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
    """Welch's tests against every published line, with and without the margin, in BPB, nats per token and nats per byte."""
    rows = [s.score for s in sub.scored]
    scores, losses = [r.val_bpb.value for r in rows], [r.val_loss.value for r in rows]
    if len(rows) < 2 or not all(isfinite(v) and v > 0 for v in scores + losses):
        return []
    margin = margin_bpb(implied_bytes_per_token(losses[0], scores[0]))
    found: list[float] = []
    for line in known_lines():
        arm = arm_of_known(line)
        for mine, theirs, least in ((scores, arm.bpb, margin), (losses, arm.loss, MARGIN_NATS)):
            if theirs is None:
                continue
            for test in (welch_of(moments(mine), theirs), welch_of(moments(mine), theirs, margin=least)):
                given = (test.difference, test.margin, test.se, test.t, test.df, test.p_one_sided, test.p_two_sided)
                found += [v for v in given if v is not None]
                found += [test.difference * log(2.0), test.margin * log(2.0), test.interval().low, test.interval().high]
    return found


def _of_known(line: KnownRecord) -> list[float]:
    given: list[float | int | None] = [
        line.score_bpb,
        line.published_val_bpb,
        line.published_std,
        line.code_bytes,
        line.vocab_size,
    ]
    given += list(vars(line.means).values()) if line.means else []
    for seed in line.seeds:
        given += [v for v in vars(seed).values() if v is not None]
    if line.seeds:
        given += [line.val_bpb.sd, line.val_loss.mean, line.val_loss.sd, line.total_bytes.mean]
    return [float(v) for v in given if v is not None]
