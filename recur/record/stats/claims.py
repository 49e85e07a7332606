"""What may be said of an arm beside the published lines, and which wording in a text says more than that.

"Better", "worse" and "not distinguishable" are those of `recur.record.stats.verdicts`. "Record", "SOTA" and their like need
more: the README's rule met against the best accepted line that was there before. Chronology: pull requests are numbered in
the order of their creation, and the merge does not count; an arm without one is placed by its date. Works with the lines of
known.toml alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recur.record.known import KnownRecord
from recur.record.stats.arm import Arm, arm_of_known
from recur.record.stats.verdicts import Relation, Verdict, judge
from recur.record.stats.wording import Kind, Phrase, phrases


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What the numbers of one arm carry.

    Attributes:
        label: the arm.
        verdicts: one per line, best line first.
        frontier: verdict against the best accepted line before the arm; None where there is none on its text.
        record: whether "record" may be said, and ``record_reason`` why (not).
    """

    label: str
    verdicts: tuple[Verdict, ...]
    frontier: Verdict | None
    record: bool
    record_reason: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings that a generated document may print, one per line that can be compared."""
        return tuple(v.sentence for v in self.verdicts if v.relation is not Relation.INCOMPARABLE)

    def against(self, label: str) -> Verdict | None:
        """The verdict against the line called ``label``."""
        return next((v for v in self.verdicts if v.against == label), None)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Wording that the numbers do not carry; ``line_number`` counts from 1."""

    line_number: int
    phrase: str
    reason: str


def allowed_wording(arm: Arm, known: Sequence[KnownRecord]) -> Claims:
    """What may be said of ``arm`` beside the ``known`` lines (its own line among them is left out)."""
    others = sorted((r for r in known if r.pr != arm.pr), key=lambda r: r.score_bpb)
    verdicts = {r.pr: judge(arm, arm_of_known(r)) for r in others}
    best = frontier(others, before=arm)
    before = verdicts[best.pr] if best else None
    return Claims(
        label=arm.label,
        verdicts=tuple(verdicts.values()),
        frontier=before,
        record=before is not None and before.strict_passed,
        record_reason=_record_reason(before, [verdicts[r.pr] for r in others if _counts(r, arm)]),
    )


def frontier(known: Sequence[KnownRecord], *, before: Arm | None = None) -> KnownRecord | None:
    """The best accepted line; with ``before`` the best of those that were there before that arm."""
    return min((r for r in known if _counts(r, before)), key=lambda r: r.score_bpb, default=None)


def refused(text: str, arm: Arm, known: Sequence[KnownRecord]) -> list[Refusal]:
    """The wording in a Markdown or JSON ``text`` about ``arm`` that claims more than its numbers carry.

    Found are "record" as a claim ("Record:" in a title, "new record", ...), SOTA and "state of the art", and comparisons
    ("improves on", "beats", "better than", ...) with a pull request, a baseline, a base or the previous best. A sentence
    that denies, asks for or reports such a thing of somebody else is not a claim of this arm's.
    """
    claims = allowed_wording(arm, known)
    found = [
        Refusal(line_number=phrase.line_number, phrase=phrase.text, reason=reason)
        for phrase in phrases(text, own_pr=arm.pr)
        for reason in _reasons(phrase, arm, known, claims)
    ]
    return sorted(dict.fromkeys(found), key=lambda r: r.line_number)


def _reasons(phrase: Phrase, arm: Arm, known: Sequence[KnownRecord], claims: Claims) -> Iterator[str]:
    if phrase.kind is Kind.RECORD:
        if not claims.record:
            yield claims.record_reason
        return
    for pr in phrase.prs:
        verdict = claims.against(f"PR {pr}")
        if verdict is None:
            yield f"no numbers of PR {pr} are known here, so nothing can be claimed against it"
        elif verdict.relation is not Relation.BETTER:
            yield verdict.sentence
    if not phrase.prs:
        base = next((r for r in known if r.pr == arm.base_pr), None) if phrase.kind is Kind.BASE else None
        verdict = claims.against(base.label) if base else claims.frontier
        if verdict is None or verdict.relation is not Relation.BETTER:
            yield verdict.sentence if base and verdict else claims.record_reason


def _counts(record: KnownRecord, arm: Arm | None) -> bool:
    """Whether the line is accepted and older: by pull request, else by day, else every line is."""
    if not record.is_accepted or arm is None:
        return record.is_accepted
    if arm.pr is not None:
        return record.pr < arm.pr
    return not arm.date or (bool(record.date) and record.date[:10] < arm.date[:10])


def _record_reason(before: Verdict | None, accepted: Sequence[Verdict]) -> str:
    """Why "record" may (not) be said: the rule's own p, or else the best line that is shown to be better."""
    if before is None:
        return "no accepted line is known that this could be compared with"
    if before.relation is Relation.BETTER:
        policy = before.policies[0]
        return f"the README's rule is {'met' if policy.passed else 'not met'}: {policy.told}; {before.sentence}"
    if before.relation is Relation.UNTESTED:
        return next((v for v in accepted if v.relation is Relation.WORSE), before).sentence
    return before.sentence
