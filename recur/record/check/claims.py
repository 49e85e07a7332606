"""Claims against the published lines of known.toml: its base, the line it compares with, the best accepted one before it.

Scores of the folder come from its logs, else from seed_results; the tests and what they allow to say are those of
`recur.record.stats.verdicts` and `.claims`. A folder that calls itself a record while its own base scores better is an
error, and so is any other wording that its numbers do not carry. Where the logs say that another text was scored, nothing
is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recur.record.check.carried import known_loss
from recur.record.check.document import Number
from recur.record.check.finding import Finding, error, note, warning
from recur.record.check.logs import Kind
from recur.record.check.read import Text
from recur.record.check.submission import JSON, README, ScoredLog, Submission
from recur.record.known import KnownRecord, known_lines, pr_number
from recur.record.stats.arm import FINEWEB, FINEWEB_BYTES, Arm, arm_of_known
from recur.record.stats.claims import frontier, refused
from recur.record.stats.moments import moments
from recur.record.stats.units import implied_bytes_per_token
from recur.record.stats.verdicts import Relation, Verdict, judge
from recur.record.stats.welch import Welch, welch_of
from recur.record.stats.wording import Kind as Said
from recur.record.stats.wording import phrases

_BUILT_ON = re.compile(
    r"\b(?:built|based|builds|building|stacked|forked|fork|derived|extends|base|parent|on top)\b[^.\n#]{0,60}?"
    r"(?:PR\s?#?|#)(\d{2,5})\b",
    re.IGNORECASE,
)
_IMPLIED = 1e-3
"""Relative slack of bytes that follow from printed tokens, loss and score."""
_COMPARES = re.compile(
    r"\b(?:worse|higher|behind|slower|better|lower|improve\w*|beats?|not distinguishable|cannot be (?:compared|tested))\b",
    re.IGNORECASE,
)
_DELTA = re.compile(r"^delta_vs_pr(\d{1,6})_(bpb|nats)$")
_MAX_CHARS, _MAX_PARAGRAPH = 200_000, 4000


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
    """Every named line, the best accepted one before, wording beyond the numbers, deltas and tests that the JSON gives."""
    scores = _scores(sub)
    if not scores:
        return
    lines = {line.pr: line for line in known_lines()}
    named = _named(sub)
    arm = _arm(sub, scores, named)
    for base in named:
        if base.pr not in lines:
            said = f"{base.role} PR {base.pr} is not in known.toml; nothing is compared"
            yield note("unknown_line", said, file=base.file, line=base.line)
        elif base.pr != arm.pr:
            yield from _against(sub, base, judge(arm, arm_of_known(lines[base.pr])))
    best = frontier([line for line in lines.values() if line.pr != arm.pr], before=arm)
    if best is not None and arm.date and best.pr not in {n.pr for n in named}:
        yield from _accepted_before(sub, best, judge(arm, arm_of_known(best)))
    yield from _wording(sub, arm)
    if arm.corpus == FINEWEB:
        yield from _deltas(sub, scores, lines)
        yield from _test_given(sub, scores, lines)


def _scores(sub: Submission) -> list[float]:
    found = [s.score.val_bpb.value for s in sub.scored]
    results = sub.document.get("seed_results")
    if not found and isinstance(results, dict):
        given = [sub.document.number("seed_results", key, "val_bpb") for key in results]
        found = [g.value for g in given if g is not None]
    return [v for v in found if 0 < v < 1000]


def _arm(sub: Submission, scores: Sequence[float], named: Sequence[_Named]) -> Arm:
    first = sub.scored[0] if sub.scored else None
    mine = sorted(round(s, 5) for s in scores)
    own = next((k.pr for k in known_lines() if k.seeds and sorted(round(s.val_bpb, 5) for s in k.seeds) == mine), None)
    bases = [n.pr for n in named if n.role == _BASE]
    return Arm(
        label="this submission",
        val_bpb=tuple(scores),
        val_loss=tuple(s.score.val_loss.value for s in sub.scored),
        mean_bpb=sum(scores) / len(scores),
        corpus=_corpus(sub.scored),
        bytes_per_token=_bytes_per_token(first) if first else None,
        scoring="ttt" if first and first.score.kind is Kind.TTT else "sliding",
        date=sub.document.text("date")[:10],
        pr=own,
        base_pr=bases[0] if bases else None,
    )


def _bytes_per_token(scored: ScoredLog) -> float:
    return implied_bytes_per_token(scored.score.val_loss.value, scored.score.val_bpb.value)


def _corpus(scored: Sequence[ScoredLog]) -> str:
    """The challenge's text, unless the logs say that one of another size was scored."""
    sizes = [size for s in scored if (size := s.log.scored_bytes) is not None]
    low, high = FINEWEB_BYTES[0] * (1 - _IMPLIED), FINEWEB_BYTES[1] * (1 + _IMPLIED)
    return next((f"a text of {size:,.0f} bytes" for size in sizes if not low <= size <= high), FINEWEB)


_BASE, _COMPARED = "its base", "the line it compares with"


def _named(sub: Submission) -> list[_Named]:
    found: list[_Named] = []
    document = sub.document
    for field, role in (("base_pr", _BASE), ("comparison_baseline_pr", _COMPARED)):
        value = document.get(field)
        pr = pr_number(str(value)[:20]) if isinstance(value, int | str) else None
        if pr is not None:
            found.append(_Named(pr=pr, role=role, file=JSON, line=document.line(field)))
    for field in ("blurb", "technique_summary"):
        for match in _BUILT_ON.finditer(document.text(field)):
            found.append(_Named(pr=int(match.group(1)), role=_BASE, file=JSON, line=document.line(field)))
    for number, line in enumerate(sub.readme.lines() if sub.readme else (), start=1):
        for match in _BUILT_ON.finditer(line):
            found.append(_Named(pr=int(match.group(1)), role=_BASE, file=README, line=number))
    return list({n.pr: n for n in reversed(found)}.values())[::-1]


def _texts(sub: Submission) -> list[Text]:
    return [text for name in (JSON, README) if (text := sub.texts.get(name)) is not None]


def _bounded(text: Text) -> str:
    """The text with each paragraph cut at 4,000 characters; its line ends all stay."""
    parts = text.text[:_MAX_CHARS].split("\n\n")
    return "\n\n".join(p[:_MAX_PARAGRAPH] + "\n" * p[_MAX_PARAGRAPH:].count("\n") for p in parts)


def _boast(sub: Submission) -> _Boast | None:
    """The first place where the folder calls itself a record."""
    for text in _texts(sub):
        for phrase in phrases(_bounded(text)):
            if phrase.kind is Said.RECORD:
                return _Boast(word=phrase.text, file=text.name, line=phrase.line_number)
    return None


def _wording(sub: Submission, arm: Arm) -> Iterator[Finding]:
    """Wording that the numbers do not carry."""
    for text in _texts(sub):
        for refusal in refused(_bounded(text), arm, known_lines())[:_MAX_REFUSALS]:
            said = f'"{refusal.phrase}" is not carried by the numbers: {refusal.reason}'
            yield error("wording", said, "say what the numbers say", file=text.name, line=refusal.line_number)


_MAX_REFUSALS = 20


def _test_in_words(test: Welch | None) -> str:
    if test is None or test.t is None or test.df is None:
        return "no test: too few seeds"
    return f"Welch t = {test.t:.2f}, df {test.df:.2f}"


def _against(sub: Submission, base: _Named, verdict: Verdict) -> Iterator[Finding]:
    gap = verdict.difference_bpb
    if gap is None or verdict.relation is Relation.INCOMPARABLE:
        return
    told = f"#{base.pr} by {abs(gap):.5f} BPB ({_test_in_words(verdict.test.plain if verdict.test else None)})"
    if verdict.relation is Relation.TIED:
        if not _told(sub, base.pr):
            yield note("tied_with_base", f"not distinguishable from {base.role}: off {told}", file=base.file, line=base.line)
    elif gap > 0:
        yield from _worse(sub, base, f"worse than {base.role} {told}")
    elif not _told(sub, base.pr):
        rule = verdict.policies[0]
        said = f"better than {base.role} {told}; the challenge's rule: {'met' if rule.passed else 'not met'}, {rule.told}"
        yield note("better_than_base", said, file=base.file, line=base.line)


def _worse(sub: Submission, base: _Named, said: str) -> Iterator[Finding]:
    """An error where the folder calls itself a record, a warning where its README does not say it, else nothing."""
    boast = _boast(sub)
    if boast is not None:
        called = f'{said}, and called "{boast.word}"'
        yield error("claim", called, "claim nothing, or beat the base", file=boast.file, line=boast.line)
    elif not _told(sub, base.pr):
        yield warning("worse_than_base", said, "say so in the README", file=base.file, line=base.line)


def _told(sub: Submission, pr: int) -> bool:
    """Whether a line of the README compares this submission with the pull request in words."""
    lines = sub.readme.lines() if sub.readme else []
    return any(_COMPARES.search(line) and re.search(rf"\b{pr}\b", line) for line in lines)


def _accepted_before(sub: Submission, best: KnownRecord, verdict: Verdict) -> Iterator[Finding]:
    gap = verdict.difference_bpb
    if gap is None or gap <= 0 or verdict.relation is Relation.INCOMPARABLE or _told(sub, best.pr):
        return
    said = (
        f"#{best.pr} of {best.date or 'an unknown day'} was there before, is accepted by now, and scores better by {gap:.5f} BPB"
    )
    said += f" ({_test_in_words(verdict.test.plain if verdict.test else None)})"
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
            theirs = known_loss(line) if line else None
            mine = sum(losses) / len(losses) if losses else mine
        if theirs is None or (match.group(2) == "nats" and not losses):
            yield note("unknown_line", f"{field}: known.toml has no such score; not checked", file=JSON, line=given.line)
        elif not given.agrees(mine - theirs):
            yield _wrong(field, given, mine - theirs)


def _test_given(sub: Submission, scores: Sequence[float], lines: dict[int, KnownRecord]) -> Iterator[Finding]:
    baseline = sub.document.get("comparison_baseline_pr")
    line = lines.get(baseline) if isinstance(baseline, int) else None
    old = arm_of_known(line).bpb if line else None
    test = welch_of(moments(scores), old) if old is not None and len(scores) > 1 else None
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
