"""One arm against another: the tests in all units, and what they allow to say.

Better and worse ask for one-sided Welch p < .01 without a margin; everything else is "not distinguishable". Two rules of
the challenge are judged beside that: its README (p < .01 that the margin of .005 nats per token was reached) and its later
practice, issue #1902 (p < .25 against the best accepted line of the time). Nats per token are compared only between equal
tokenizers. For different ones the margin in BPB is that of the tokenizer with fewer bytes per token, the larger of the two,
so that a pass holds however the rule is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import log

from recur.record.stats.arm import Arm, same_text, same_tokenizer
from recur.record.stats.moments import Moments
from recur.record.stats.units import MARGIN_NATS, margin_bpb
from recur.record.stats.welch import Welch, welch_of

ALPHA_STRICT = 0.01
ALPHA_1902 = 0.25
MIN_SEEDS = 3
"""Seeds that the challenge asks of a record (RULES B2, 14)."""

README, PRACTICE = "README", "#1902"
BPB, NATS_PER_BYTE, NATS_PER_TOKEN = "BPB", "nats per byte", "nats per token"


class Relation(StrEnum):
    """What may be said of the first arm and the second."""

    BETTER = "is better than"
    TIED = "is not distinguishable from"
    WORSE = "is worse than"
    UNTESTED = "cannot be tested against"
    INCOMPARABLE = "cannot be compared with"


@dataclass(frozen=True, kw_only=True)
class UnitTest:
    """The test in one unit, without the margin and with it; ``strict`` is None where the margin has no value there."""

    unit: str
    plain: Welch
    strict: Welch | None


@dataclass(frozen=True, kw_only=True)
class PolicyVerdict:
    """One rule of the challenge; ``passed`` is None where it cannot be judged."""

    policy: str
    passed: bool | None
    p: float | None
    told: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``label`` (new) against ``against`` (old); ``difference_bpb`` below zero means that new scores lower.

    ``why_not`` says why there is no test ("" where there is one); ``warnings`` is what a reader must know beside that.
    """

    label: str
    against: str
    relation: Relation
    difference_bpb: float | None
    mean_bpb: float | None
    mean_against_bpb: float | None
    n: int | None
    n_against: int | None
    tests: tuple[UnitTest, ...]
    policies: tuple[PolicyVerdict, ...]
    why_not: str
    warnings: tuple[str, ...]

    @property
    def test(self) -> UnitTest | None:
        """The test in BPB."""
        return self.tests[0] if self.tests else None

    @property
    def strict_passed(self) -> bool:
        """Whether the README's rule is met against this arm."""
        return any(p.passed is True for p in self.policies if p.policy == README)

    @property
    def numbers(self) -> str:
        """`+0.00276 BPB (1.09248, n=3, against 1.08972, n=3; Welch t = 10.84, df 3.91, one-sided p 0.00023)`.

        The p is for the direction that the difference has.
        """
        if self.difference_bpb is None or self.mean_bpb is None or self.mean_against_bpb is None:
            return "no score on one side"
        means = f"{_mean(self.mean_bpb, self.n)}, against {_mean(self.mean_against_bpb, self.n_against)}"
        plain = self.test.plain if self.test else None
        if plain is None or plain.p_two_sided is None:
            return f"{self.difference_bpb:+.5f} BPB ({means}; no test)"
        told = f"Welch t = {plain.t:.2f}, df {plain.df:.2f}, one-sided {shown_p(plain.p_two_sided / 2)}"
        return f"{self.difference_bpb:+.5f} BPB ({means}; {told})"

    @property
    def sentence(self) -> str:
        """The whole finding as one sentence; the only wording that a generated document uses."""
        reason = f" ({self.why_not})" if self.why_not else ""
        if self.relation is Relation.INCOMPARABLE:
            return f"{self.label} {self.relation} {self.against}{reason}"
        return f"{self.label} {self.relation} {self.against}{reason}: {self.numbers}"


def judge(new: Arm, old: Arm) -> Verdict:
    """All tests of ``new`` against ``old``, and what they allow to say."""
    text = same_text(new, old)
    tests = () if text is False else _tests(new, old)
    relation = Relation.INCOMPARABLE if text is False else _relation(tests)
    comparable = text is not False and new.mean_bpb is not None and old.mean_bpb is not None
    return Verdict(
        label=new.label,
        against=old.label,
        relation=relation,
        difference_bpb=new.mean_bpb - old.mean_bpb if comparable and new.mean_bpb and old.mean_bpb else None,
        mean_bpb=new.mean_bpb,
        mean_against_bpb=old.mean_bpb,
        n=new.n,
        n_against=old.n,
        tests=tests,
        policies=(_readme(new, tests), _practice(tests)),
        why_not=_why_not(new, old, tests),
        warnings=tuple(_warnings(new, old)) if text is not False else (),
    )


def margin_for(new: Arm, old: Arm) -> float | None:
    """The margin of .005 nats per token in BPB for these two; None where no tokenizer's bytes per token are known."""
    known = [arm.bytes_per_token for arm in (new, old) if arm.bytes_per_token is not None]
    return margin_bpb(min(known)) if known else None


def _tests(new: Arm, old: Arm) -> tuple[UnitTest, ...]:
    """BPB first; empty below two seeds on a side."""
    mine, theirs = new.bpb, old.bpb
    if mine is None or theirs is None:
        return ()
    margin = margin_for(new, old)
    per_byte = None if margin is None else margin * log(2)
    tests = [_test(BPB, mine, theirs, margin), _test(NATS_PER_BYTE, _scaled(mine), _scaled(theirs), per_byte)]
    losses = new.loss, old.loss
    if same_tokenizer(new, old) and losses[0] is not None and losses[1] is not None:
        tests.append(_test(NATS_PER_TOKEN, losses[0], losses[1], MARGIN_NATS))
    return tuple(tests)


def _test(unit: str, new: Moments, old: Moments, margin: float | None) -> UnitTest:
    strict = None if margin is None else welch_of(new, old, margin=margin)
    return UnitTest(unit=unit, plain=welch_of(new, old), strict=strict)


def _scaled(found: Moments) -> Moments:
    return Moments(n=found.n, mean=found.mean * log(2), sd=found.sd * log(2))


def _relation(tests: tuple[UnitTest, ...]) -> Relation:
    plain = tests[0].plain if tests else None
    if plain is None or plain.p_two_sided is None:
        return Relation.UNTESTED
    if plain.p_two_sided / 2 >= ALPHA_STRICT:  # one-sided, in the direction of the difference
        return Relation.TIED
    return Relation.BETTER if plain.difference < 0 else Relation.WORSE


def _readme(new: Arm, tests: tuple[UnitTest, ...]) -> PolicyVerdict:
    """In nats per token where both have them, as the rule is written; else in BPB."""
    test = next((t for t in tests if t.unit == NATS_PER_TOKEN), tests[0] if tests else None)
    p = test.strict.p_one_sided if test and test.strict else None
    if test is None or test.strict is None or p is None:
        return PolicyVerdict(policy=README, passed=None, p=None, told="not judged: no test with the margin")
    enough = (new.n or 0) >= MIN_SEEDS
    told = f"{shown_p(p)} that new is lower by more than {test.strict.margin:.5f} {test.unit}; asked: p < .01"
    return PolicyVerdict(
        policy=README,
        passed=p < ALPHA_STRICT and enough,
        p=p,
        told=told if enough else f"{told} and {MIN_SEEDS} seeds, here {new.n}",
    )


def _practice(tests: tuple[UnitTest, ...]) -> PolicyVerdict:
    p = tests[0].plain.p_one_sided if tests else None
    if p is None:
        return PolicyVerdict(policy=PRACTICE, passed=None, p=None, told="not judged: no test")
    return PolicyVerdict(policy=PRACTICE, passed=p < ALPHA_1902, p=p, told=f"{shown_p(p)} that new is lower; asked: p < .25")


def _why_not(new: Arm, old: Arm, tests: tuple[UnitTest, ...]) -> str:
    if same_text(new, old) is False:
        return f"scored on different texts: {new.corpus or '?'} | {old.corpus or '?'}"
    if tests:
        return "neither side has any deviation" if tests[0].plain.t is None else ""
    return "; ".join(f"no two seeds' scores of {arm.label} are known" for arm in (new, old) if arm.bpb is None)


def _warnings(new: Arm, old: Arm) -> list[str]:
    text, cut = same_text(new, old), same_tokenizer(new, old)
    found = []
    if text is None:
        found.append("not known whether both were scored on the same text")
    if cut is False:
        found.append("tokenizers differ: BPB can be compared, nats per token cannot")
    if cut is None:
        found.append("not known whether the tokenizers are equal: nats per token are not compared")
    if new.stride and old.stride and new.stride != old.stride:
        found.append(f"strides differ ({new.stride} | {old.stride}): a smaller one gives more context and a lower score")
    if new.scoring != old.scoring:
        found.append(f"scoring differs ({new.scoring} | {old.scoring})")
    if new.cap_bytes and old.cap_bytes and new.cap_bytes != old.cap_bytes:
        found.append(f"caps differ ({new.cap_bytes:,} | {old.cap_bytes:,} bytes)")
    return found


def shown_p(p: float) -> str:
    """`p 0.00023`, and `p > .99` where two digits would round to 1."""
    return "p > .99" if p >= 0.995 else f"p {p:.2g}"


def _mean(value: float, n: int | None) -> str:
    return f"{value:.5f}, n={n if n is not None else '?'}"
