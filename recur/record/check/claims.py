"""Claims against the published lines of known.toml: its base, the line it compares with, the best merged one before it.

A folder whose logs say that another text was scored is compared with none; calling it a record is then an error too.
Scores of the folder come from its logs, else from seed_results. Each comparison is Welch's test of the seeds
(`recur.record.stats.welch`); an improvement is also tested with the challenge's margin of .005 nats per token. A folder
that calls itself a record while its own base scores better is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recur.record.check.document import Number
from recur.record.check.finding import Finding, error, note, warning
from recur.record.check.submission import JSON, README, Submission
from recur.record.known import MERGED, KnownRecord, known_lines
from recur.record.stats.arm import FINEWEB_BYTES, arm_of_known
from recur.record.stats.moments import Moments, moments
from recur.record.stats.units import implied_bytes_per_token, margin_bpb
from recur.record.stats.welch import Welch, welch_of

_BOAST = re.compile(
    r"(?<!non-)(?<!non_)(?<!no )(?<!not a )(?<!not )\b(record(?!s?[/_ -](?:folder|line|mode)|s?/)|sota|state[- ]of[- ]the[- ]art"
    r"|new best|improv(?:es|ed|ing) (?:on|over|upon)|beat(?:s|ing)?|outperform\w*|surpass\w*)\b",
    re.IGNORECASE,
)
_BUILT_ON = re.compile(
    r"\b(?:built|based|builds|building|stacked|forked|fork|derived|extends|base|parent|on top)\b[^.\n#]{0,60}?"
    r"(?:PR\s?#?|#)(\d{2,5})\b",
    re.IGNORECASE,
)
_IMPLIED = 1e-3
"""Relative slack of bytes that follow from printed tokens, loss and score."""
_ADMITTED = re.compile(
    r"\b(?:worse|higher|behind|slower|not better|no improvement|does not improve|not an improvement)\b", re.IGNORECASE
)
_PR = re.compile(r"#?\s*(?:PR\s*#?)?(\d{2,5})\b", re.IGNORECASE)
_DELTA = re.compile(r"^delta_vs_pr(\d{1,6})_(bpb|nats)$")


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A published line that the folder names, as what, and where."""

    pr: int
    role: str
    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class _Boast:
    word: str
    file: str
    line: int


def check_claims(sub: Submission) -> Iterator[Finding]:
    """Every named line and the best merged one before the submission's date; deltas and tests that the JSON gives."""
    scores = _scores(sub)
    if not scores:
        return
    if (other := _other_text(sub)) is not None:
        yield from other
        return
    lines = {line.pr: line for line in known_lines()}
    own = _own_line(scores)
    named = _named(sub)
    for base in named:
        if base.pr not in lines:
            said = f"{base.role} PR {base.pr} is not in known.toml; nothing is compared"
            yield note("unknown_line", said, file=base.file, line=base.line)
        elif base.pr != own:
            yield from _against(sub, scores, base, lines[base.pr])
    if (best := _best_before(sub, own)) is not None and best.pr not in {n.pr for n in named}:
        yield from _merged_before(sub, scores, best)
    yield from _deltas(sub, scores, lines)
    yield from _test_given(sub, scores, lines)


def _scores(sub: Submission) -> list[float]:
    found = [s.score.val_bpb.value for s in sub.scored]
    results = sub.document.get("seed_results")
    if not found and isinstance(results, dict):
        given = [sub.document.number("seed_results", key, "val_bpb") for key in results]
        found = [g.value for g in given if g is not None]
    return [v for v in found if 0 < v < 1000]


def _other_text(sub: Submission) -> tuple[Finding, ...] | None:
    """None where the logs do not say that another text than the challenge's was scored."""
    sizes = [size for s in sub.scored if (size := s.log.scored_bytes) is not None]
    low, high = FINEWEB_BYTES[0] * (1 - _IMPLIED), FINEWEB_BYTES[1] * (1 + _IMPLIED)
    if not sizes or all(low <= size <= high for size in sizes):
        return None
    if (boast := _boast(sub)) is None:
        return ()
    said = f'called "{boast.word}", but the logs scored a text of {sizes[0]:,.0f} bytes, not the challenge\'s of 151 million'
    return (error("claim", said, "claim nothing on another text", file=boast.file, line=boast.line),)


def _named(sub: Submission) -> list[_Named]:
    found: list[_Named] = []
    document = sub.document
    for field, role in (("base_pr", "its base"), ("comparison_baseline_pr", "the line it compares with")):
        value = document.get(field)
        match = _PR.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
        if match:
            found.append(_Named(pr=int(match.group(1)), role=role, file=JSON, line=document.line(field)))
    for field in ("blurb", "technique_summary"):
        for match in _BUILT_ON.finditer(document.text(field)):
            found.append(_Named(pr=int(match.group(1)), role="its base", file=JSON, line=document.line(field)))
    for number, line in enumerate(sub.readme.lines() if sub.readme else (), start=1):
        for match in _BUILT_ON.finditer(line):
            found.append(_Named(pr=int(match.group(1)), role="its base", file=README, line=number))
    return list({n.pr: n for n in reversed(found)}.values())[::-1]


def _boast(sub: Submission) -> _Boast | None:
    for field in ("name", "blurb"):
        if match := _BOAST.search(sub.document.text(field)):
            return _Boast(word=match.group(1), file=JSON, line=sub.document.line(field))
    for number, line in enumerate(sub.readme.lines() if sub.readme else (), start=1):
        if match := _BOAST.search(line):
            return _Boast(word=match.group(1), file=README, line=number)
    return None


def _old(line: KnownRecord) -> Moments | None:
    return arm_of_known(line).bpb


def _test(scores: Sequence[float], line: KnownRecord, margin: float = 0.0) -> Welch | None:
    old = _old(line)
    return welch_of(moments(scores), old, margin=margin) if old is not None and len(scores) > 1 else None


def _in_words(test: Welch | None) -> str:
    if test is None or test.t is None or test.df is None:
        return "no test: too few seeds"
    return f"Welch t = {test.t:.2f}, df {test.df:.2f}"


def _against(sub: Submission, scores: Sequence[float], base: _Named, line: KnownRecord) -> Iterator[Finding]:
    gap = sum(scores) / len(scores) - line.score_bpb
    test = _test(scores, line)
    if gap > 0:
        boast = _boast(sub)
        said = f"worse than {base.role} #{base.pr} by {gap:.5f} BPB ({_in_words(test)})"
        if boast is not None:
            said += f', and called "{boast.word}"'
            yield error("claim", said, "claim nothing, or beat the base", file=boast.file, line=boast.line)
        elif _admitted(sub, base.pr):
            yield note("worse_than_base", f"{said}; the README says so", file=base.file, line=base.line)
        else:
            yield warning("worse_than_base", said, "say so in the README", file=base.file, line=base.line)
        return
    said = f"better than {base.role} #{base.pr} by {-gap:.5f} BPB ({_in_words(test)})"
    if (
        (margin := _margin(sub)) is not None
        and (strict := _test(scores, line, margin)) is not None
        and strict.p_one_sided is not None
    ):
        reached = "reached" if strict.p_one_sided < 0.01 else "not shown at p < .01"
        said += f"; the margin of .005 nats ({margin:.5f} BPB) is {reached} (p = {strict.p_one_sided:.2g})"
    yield note("better_than_base", said, file=base.file, line=base.line)


def _admitted(sub: Submission, pr: int) -> bool:
    lines = sub.readme.lines() if sub.readme else []
    return any(_ADMITTED.search(line) and re.search(rf"\b{pr}\b", line) for line in lines)


def _margin(sub: Submission) -> float | None:
    for scored in sub.scored:
        loss, bpb = scored.score.val_loss.value, scored.score.val_bpb.value
        return margin_bpb(implied_bytes_per_token(loss, bpb))
    return None


def _own_line(scores: Sequence[float]) -> int | None:
    """The published line that is this very submission: it has the same scores."""
    mine = sorted(round(s, 5) for s in scores)
    return next((k.pr for k in known_lines() if k.seeds and sorted(round(s.val_bpb, 5) for s in k.seeds) == mine), None)


def _best_before(sub: Submission, own: int | None) -> KnownRecord | None:
    day = sub.document.text("date")[:10]
    earlier = [k for k in known_lines() if k.status == MERGED and k.date and day and k.date < day and k.pr != own]
    return earlier[0] if earlier else None


def _merged_before(sub: Submission, scores: Sequence[float], best: KnownRecord) -> Iterator[Finding]:
    gap = sum(scores) / len(scores) - best.score_bpb
    if gap <= 0:
        return
    said = f"#{best.pr}, dated {best.date} and merged (when is not known here), scores better by {gap:.5f} BPB"
    said += f" ({_in_words(_test(scores, best))})"
    yield note("better_line_before", said, "name it beside the result", file=JSON, line=sub.document.line("date"))


def _deltas(sub: Submission, scores: Sequence[float], lines: dict[int, KnownRecord]) -> Iterator[Finding]:
    losses = [s.score.val_loss.value for s in sub.scored]
    for field in list(sub.document.data):
        match = _DELTA.match(field)
        given = sub.document.number(field)
        if not match or given is None:
            continue
        line = lines.get(int(match.group(1)))
        mine, theirs = sum(scores) / len(scores), line.score_bpb if line else None
        if match.group(2) == "nats":
            theirs = line.val_loss.mean if line and line.seeds else None
            mine = sum(losses) / len(losses) if losses else mine
        if theirs is None or (match.group(2) == "nats" and not losses):
            yield note("unknown_line", f"{field}: known.toml has no such score; not checked", file=JSON, line=given.line)
        elif not given.agrees(mine - theirs):
            yield _wrong(field, given, mine - theirs)


def _test_given(sub: Submission, scores: Sequence[float], lines: dict[int, KnownRecord]) -> Iterator[Finding]:
    baseline = sub.document.get("comparison_baseline_pr")
    line = lines.get(baseline) if isinstance(baseline, int) else None
    test = _test(scores, line) if line else None
    exact = {"t_statistic": test.t, "welch_df": test.df} if test else {}
    for field in ("t_statistic", "welch_df"):
        given = sub.document.number(field)
        if given is None:
            continue
        value = exact.get(field)
        if value is None:
            yield note(
                "unknown_line", f"{field}: the baseline's seeds are not in known.toml; not checked", file=JSON, line=given.line
            )
        elif not given.agrees(value):
            yield _wrong(field, given, value)


def _wrong(field: str, given: Number, exact: float) -> Finding:
    said = f"{field}={given.text}, but the seeds give {exact:.{max(given.decimals, 4)}f}"
    return error("comparison", said, "write it from the logs and known.toml", file=JSON, line=given.line)
