"""What the tests of two arms allow to say, and both rules of the challenge."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.record.known import find_known
from recur.record.stats.arm import FINEWEB, Arm, arm_of_known
from recur.record.stats.moments import Moments
from recur.record.stats.verdicts import Relation, Verdict, judge, shown_p

PER_TOKEN = 3.3196808787  # SP4096


def arm(*scores: float, label: str = "ours", per_token: float = PER_TOKEN, **changes: object) -> Arm:
    made = Arm(
        label=label,
        val_bpb=scores,
        val_loss=tuple(v * log(2) * per_token for v in scores),
        mean_bpb=sum(scores) / len(scores),
        corpus=FINEWEB,
        bytes_per_token=per_token,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def line(pr: int) -> Arm:
    return arm_of_known(find_known(str(pr)))


def policy(verdict: Verdict, name: str) -> bool | None:
    return next(p.passed for p in verdict.policies if p.policy == name)


def test_the_reference_run_is_worse_than_its_base_and_says_so_with_its_numbers() -> None:
    verdict = judge(line(1421), line(1334))
    assert verdict.relation is Relation.WORSE
    assert verdict.sentence.startswith("PR 1421 is worse than PR 1334: +0.00276 BPB (1.09248, n=3, against 1.08972, n=3;")
    assert "Welch t = 10.84, df 3.91" in verdict.sentence
    assert (policy(verdict, "README"), policy(verdict, "#1902")) == (False, False)


def test_the_base_is_better_but_not_by_the_margin() -> None:
    verdict = judge(line(1334), line(1421))
    assert verdict.relation is Relation.BETTER
    assert (policy(verdict, "README"), policy(verdict, "#1902")) == (False, True)


def test_the_line_of_march_meets_the_readmes_rule_against_its_predecessor() -> None:
    verdict = judge(line(1019), line(549))
    assert verdict.relation is Relation.BETTER
    assert policy(verdict, "README") is True


def test_the_units_of_equal_tokenizers_tell_the_same_and_different_ones_have_no_nats_per_token() -> None:
    same, other = judge(line(1421), line(1334)), judge(line(1421), line(1019))
    assert [t.unit for t in same.tests] == ["BPB", "nats per byte", "nats per token"]
    for test in same.tests:
        # published losses and scores are both rounded to eight decimals
        assert test.plain.t == pytest.approx(same.tests[0].plain.t, rel=1e-5)
        assert test.strict is not None and same.tests[0].strict is not None
        assert test.strict.t == pytest.approx(same.tests[0].strict.t, rel=1e-5)
    assert same.tests[2].strict is not None and same.tests[2].strict.margin == 0.005
    assert [t.unit for t in other.tests] == ["BPB", "nats per byte"]
    assert any("tokenizers differ" in w for w in other.warnings)


def test_the_margin_between_two_tokenizers_is_the_larger_one() -> None:
    verdict = judge(line(1421), line(1019))
    assert verdict.test is not None and verdict.test.strict is not None
    assert f"{verdict.test.strict.margin:.5f}" == "0.00296"


def test_close_scores_are_not_distinguishable() -> None:
    verdict = judge(arm(1.0900, 1.0904, 1.0908), arm(1.0901, 1.0905, 1.0910, label="theirs"))
    assert verdict.relation is Relation.TIED
    assert "ours is not distinguishable from theirs: -0.00013 BPB" in verdict.sentence


def test_the_later_practice_accepts_what_the_readme_does_not() -> None:
    verdict = judge(arm(1.0893, 1.0898, 1.0903), arm(1.0900, 1.0905, 1.0910, label="theirs"))
    assert verdict.relation is Relation.TIED
    assert (policy(verdict, "README"), policy(verdict, "#1902")) == (False, True)


def test_two_seeds_meet_no_rule_that_asks_for_three() -> None:
    verdict = judge(arm(1.0000, 1.0001), arm(1.0900, 1.0901, 1.0902, label="theirs"))
    assert verdict.relation is Relation.BETTER
    assert policy(verdict, "README") is False
    assert "3 seeds, here 2" in verdict.policies[0].told


def test_without_two_seeds_on_both_sides_there_is_a_difference_but_no_test() -> None:
    verdict = judge(arm(1.08), line(1334))
    assert verdict.relation is Relation.UNTESTED
    assert verdict.difference_bpb == pytest.approx(1.08 - 1.0897163, abs=1e-6)
    assert (policy(verdict, "README"), policy(verdict, "#1902")) == (None, None)
    assert "no two seeds' scores of ours are known" in verdict.sentence


def test_equal_seeds_on_both_sides_are_not_tested() -> None:
    verdict = judge(arm(1.08, 1.08, 1.08), arm(1.09, 1.09, label="theirs"))
    assert verdict.relation is Relation.UNTESTED
    assert "neither side has any deviation" in verdict.sentence


def test_scores_on_another_text_are_not_compared() -> None:
    small = arm(2.3, 2.4, corpus="a text of 1,000 bytes", scored_bytes=1000)
    verdict = judge(small, line(1334))
    assert (verdict.relation, verdict.difference_bpb, verdict.tests) == (Relation.INCOMPARABLE, None, ())
    assert (
        verdict.sentence == f"ours cannot be compared with PR 1334 (scored on different texts: a text of 1,000 bytes | {FINEWEB})"
    )


def test_published_deviations_are_tested_like_seeds() -> None:
    told = arm(1.09, published=Moments(n=3, mean=1.09, sd=0.0003), published_n=3, val_bpb=(), val_loss=())
    verdict = judge(told, line(1421))
    assert verdict.relation is Relation.BETTER
    assert [t.unit for t in verdict.tests] == ["BPB", "nats per byte"]


def test_what_must_be_known_to_read_a_difference_is_a_warning() -> None:
    ours = arm(1.08, 1.081, stride=32, cap_bytes=1000)
    warnings = " | ".join(judge(ours, replace(line(1334), scoring="ttt")).warnings)
    assert "strides differ (32 | 64)" in warnings
    assert "caps differ (1,000 | 16,000,000 bytes)" in warnings
    assert "scoring differs (sliding | ttt)" in warnings


scores = st.lists(st.floats(1.0, 1.2), min_size=2, max_size=6)
MIRROR = {Relation.BETTER: Relation.WORSE, Relation.WORSE: Relation.BETTER}


@given(scores, scores)
def test_the_other_way_round_better_is_worse(a: list[float], b: list[float]) -> None:
    one, other = judge(arm(*a), arm(*b, label="theirs")), judge(arm(*b, label="theirs"), arm(*a))
    assert other.relation is MIRROR.get(one.relation, one.relation)


@given(scores, scores)
def test_the_strict_rule_implies_better_and_better_the_later_practice(a: list[float], b: list[float]) -> None:
    verdict = judge(arm(*a), arm(*b, label="theirs"))
    if verdict.strict_passed:
        assert verdict.relation is Relation.BETTER
    if verdict.relation is Relation.BETTER:
        assert policy(verdict, "#1902") is True


def test_a_p_that_would_round_to_one_is_not_shown_as_one() -> None:
    assert (shown_p(0.99977), shown_p(0.00023), shown_p(0.25)) == ("p > .99", "p 0.00023", "p 0.25")
