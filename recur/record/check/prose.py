"""Numbers in the README that nothing in the folder carries.

Looked at are numbers with three or more decimals and whole numbers from 1,000 on, outside code, links and dates; multiples of
128 up to a million are sizes of layers, tables and batches, years and the challenge's own limits are no results. Each must
be, at the digits it is printed with, one that the folder carries (`recur.record.check.carried`). A number that is called a
deviation must be one. Missing a wrong number is preferred to a false alarm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it.token import Token

from recur.record.check.carried import Carried, deviations, known_deviations, sources
from recur.record.check.finding import Finding, error, warning
from recur.record.check.markdown import parse
from recur.record.check.submission import README, Submission

_NUMBER = re.compile(r"(?<![\w.,/#-])[-+−]?(\d{1,3}(?:[,_]\d{3})+|\d{1,15})(\.\d{1,15})?(?![\w/]|[.,]\d)")
_SKIPPED = re.compile(
    r"`[^`]*`|https?://\S+|\]\([^)]*\)|<!--.*?-->|<[^>]{0,300}>|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?"
    r"|\b(?:PR|issue|seeds?|pull)\s*#?\s*\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*",
    re.IGNORECASE,
)
_DEVIATION = re.compile(
    r"(?:±|\+/-|\b(?:std|stdev|sd|σ|(?:standard |sample )?deviation)\b[^\d\n]{0,25}?)\s*(\d\.\d{3,12})(?!\d)", re.IGNORECASE
)
_OTHER_STAGE = re.compile(r"quant|\bema\b|trained|round.?trip|read back|steps|bytes|time", re.IGNORECASE)
_MIN_DECIMALS, _MIN_INTEGER = 3, 1000
_YEARS = range(1990, 2101)
_RULES = {16_000_000, 15_990_000, 16_777_216, 50_000}


def check_readme(sub: Submission) -> Iterator[Finding]:
    """Numbers of README.md without a source, and deviations that are none. Nothing to compare with: no finding."""
    readme = sub.readme
    if readme is None or not (sub.logs or sub.document.data):
        return
    carried = Carried(sources(sub))
    lines = readme.lines()
    code_lines = _code_lines(parse(readme.text))
    for number, raw in enumerate(lines, start=1):
        if number in code_lines:
            continue
        line = _SKIPPED.sub(lambda m: " " * len(m.group()), raw)
        named = {m.start(1): m.group(1) for m in _DEVIATION.finditer(line)}
        for text in named.values():
            yield from _named_deviation(sub, text, raw, number)
        for match in _NUMBER.finditer(line):
            if match.start(1) not in named and (bad := _unsourced(match, carried)) is not None:
                said = f"{bad} is in no log, not in submission.json, and follows from neither"
                remedy = "write it from the logs, or name its source"
                yield warning("number_without_source", said, remedy, file=readme.name, line=number)


def _unsourced(match: re.Match[str], carried: Carried) -> str | None:
    whole, fraction = match.group(1).replace(",", "").replace("_", ""), match.group(2) or ""
    decimals, value = max(0, len(fraction) - 1), float(whole + fraction)
    if decimals < _MIN_DECIMALS and (decimals > 0 or value < _MIN_INTEGER):
        return None
    whole_number = int(value)
    is_size = whole_number % 128 == 0 and whole_number <= 2**20
    if decimals == 0 and (is_size or whole_number in _RULES or whole_number in _YEARS):
        return None
    return None if carried.has(value, decimals) else match.group().strip()


def _named_deviation(sub: Submission, text: str, line: str, number: int) -> Iterator[Finding]:
    """A number called a deviation: that of the counted scores, of the other stages where the line names one, of a named PR."""
    scores = deviations(sub, ("val_bpb", "val_loss"))
    allowed = scores + [sd for pr, sd in known_deviations().items() if re.search(rf"\b{pr}\b", line)]
    if _OTHER_STAGE.search(line):
        allowed += deviations(sub)
    value = float(text)
    # far above the scores' deviations it is that of something else, e.g. of the initial weights
    if not scores or value > 5 * max(scores) or Carried(allowed).has(value, len(text.partition(".")[2])):
        return
    near = min(scores, key=lambda sd: abs(sd - value))
    said = f"{text} is called a deviation; that of the logs' scores is {near:.6f}"
    yield error("deviation_differs", said, "write it from the logs", file=README, line=number)


def _code_lines(tokens: list[Token]) -> set[int]:
    """Lines (from 1) inside fenced or indented code and HTML blocks."""
    spans = [t.map for t in tokens if t.map is not None and t.type in ("fence", "code_block", "html_block")]
    return {i + 1 for a, b in spans for i in range(a, b)}
