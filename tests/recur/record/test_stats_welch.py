"""Welch's test: by hand, beside scipy, the published cases, its properties, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from recur.errors import InputError
from recur.record.stats import spread
from recur.record.stats.moments import Moments, moments
from recur.record.stats.welch import interval, welch, welch_of

PR_1421 = [1.09211068, 1.09276612, 1.09255323]
PR_1334 = [1.08938974, 1.08982552, 1.08993367]
PR_1019 = [1.11508120, 1.11437394, 1.11475014]
PR_549 = [1.11922988, 1.12002032, 1.11888882]

# five decimals: scores as they are published, and no two that differ only in their last bits
scores = st.lists(st.integers(50_000, 200_000).map(lambda i: i / 1e5), min_size=2, max_size=8)
NEARLY_EQUAL = "ignore:Precision loss occurred:RuntimeWarning"


def test_welch_by_hand() -> None:
    found = welch([1.0, 2.0, 3.0], [4.0, 8.0])
    # variances 1 and 8: se^2 = 1/3 + 4, df = (13/3)^2 / ((1/3)^2 / 2 + 4^2 / 1)
    assert (found.difference, found.n_new, found.n_old) == (-4.0, 3, 2)
    assert found.se == pytest.approx((13 / 3) ** 0.5)
    assert found.t == pytest.approx(-4 / (13 / 3) ** 0.5)
    assert found.df == pytest.approx((13 / 3) ** 2 / (1 / 18 + 16))


def test_the_published_scores_of_the_reference_run_have_the_published_mean_and_deviation() -> None:
    found = spread(PR_1421)
    assert found is not None and found.sd is not None
    assert (f"{found.mean:.8f}", f"{found.sd:.6f}") == ("1.09247668", "0.000334")


def test_the_reference_run_is_worse_than_its_base_by_the_published_numbers() -> None:
    found = welch(PR_1421, PR_1334)
    assert found.t is not None and found.df is not None
    assert (f"{found.difference:+.5f}", f"{found.t:.2f}", f"{found.df:.2f}") == ("+0.00276", "10.84", "3.91")


def test_the_reference_run_is_far_below_the_line_of_march_by_the_published_numbers() -> None:
    found = welch(PR_1421, PR_1019)
    assert found.t is not None and found.df is not None
    assert (f"{found.difference:+.5f}", f"{found.t:.0f}", f"{found.df:.2f}") == ("-0.02226", "-79", "3.99")


def test_the_test_that_pull_request_1019_prints_is_ours_to_the_last_digit() -> None:
    found = welch(PR_1019, PR_549)
    assert found.t is not None and found.df is not None
    assert (f"{found.t:.4f}", f"{found.df:.4f}", f"{found.difference:.8f}") == ("-11.8339", "3.3063", "-0.00464458")


@pytest.mark.filterwarnings(NEARLY_EQUAL)
@given(scores, scores, st.floats(0, 0.1))
def test_welch_agrees_with_scipy(new: list[float], old: list[float], margin: float) -> None:
    found = welch(new, old, margin=margin)
    assume(found.se > 0)
    # scipy takes the margin as a shift of one side
    oracle = scipy_stats.ttest_ind([v + margin for v in new], old, equal_var=False, alternative="less")
    both = scipy_stats.ttest_ind([v + margin for v in new], old, equal_var=False)
    assert found.t == pytest.approx(oracle.statistic, rel=1e-6, abs=1e-9)
    assert found.df == pytest.approx(oracle.df, rel=1e-6)
    assert found.p_one_sided == pytest.approx(oracle.pvalue, rel=1e-5, abs=1e-12)
    assert found.p_two_sided == pytest.approx(both.pvalue, rel=1e-5, abs=1e-12)


@pytest.mark.filterwarnings(NEARLY_EQUAL)
@given(scores, scores)
def test_the_interval_of_the_difference_is_scipys(new: list[float], old: list[float]) -> None:
    found = welch(new, old)
    assume(found.se > 0)
    oracle = scipy_stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.95)
    ends = found.interval()
    assert (ends.low, ends.high) == pytest.approx((oracle.low, oracle.high), rel=1e-6, abs=1e-9)


@given(scores, scores)
def test_the_other_way_round_the_test_is_its_mirror(new: list[float], old: list[float]) -> None:
    one, other = welch(new, old), welch(old, new)
    assume(one.t is not None and abs(one.t) < 1e6)
    assert one.t is not None and one.p_one_sided is not None and other.t is not None and other.p_one_sided is not None
    assert one.t == pytest.approx(-other.t)
    assert one.p_one_sided + other.p_one_sided == pytest.approx(1)
    assert one.df == pytest.approx(other.df)


@given(scores, scores, st.floats(0, 0.05), st.floats(0, 0.05))
def test_a_larger_margin_is_never_easier_to_show(new: list[float], old: list[float], a: float, b: float) -> None:
    small, large = welch(new, old, margin=min(a, b)), welch(new, old, margin=max(a, b))
    assume(small.p_one_sided is not None and large.p_one_sided is not None)
    assert small.p_one_sided is not None and large.p_one_sided is not None
    assert small.p_one_sided <= large.p_one_sided


@given(scores, scores, st.floats(0.1, 10))
def test_the_unit_does_not_matter(new: list[float], old: list[float], unit: float) -> None:
    one, other = welch(new, old), welch([v * unit for v in new], [v * unit for v in old])
    assume(one.se > 0)
    assert other.t == pytest.approx(one.t, rel=1e-6, abs=1e-9)
    assert other.df == pytest.approx(one.df, rel=1e-6)


def test_moments_are_enough() -> None:
    assert welch_of(moments(PR_1421), moments(PR_1334), margin=0.001) == welch(PR_1421, PR_1334, margin=0.001)


def test_interval_by_table() -> None:
    # t of 95 % and 2 degrees of freedom is 4.303
    ends = interval([1.0, 2.0, 3.0])
    assert (ends.low, ends.high) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)


def test_without_any_deviation_there_is_a_difference_but_no_test() -> None:
    found = welch([1.0, 1.0], [2.0, 2.0, 2.0])
    assert (found.difference, found.se) == (-1.0, 0.0)
    assert (found.t, found.df, found.p_one_sided, found.p_two_sided) == (None, None, None, None)


def test_one_side_without_deviation_is_tested_with_the_others_degrees_of_freedom() -> None:
    assert welch([1.0, 1.0], [2.0, 2.1, 2.3]).df == pytest.approx(2)


def test_tiny_deviations_do_not_underflow() -> None:
    found = welch_of(Moments(n=3, mean=1.0, sd=1e-120), Moments(n=3, mean=2.0, sd=1e-120))
    assert found.df == pytest.approx(4)


@pytest.mark.parametrize(
    ("new", "old", "margin"),
    [([1.0], [1.0, 2.0], 0.0), ([1.0, 2.0], [], 0.0), ([1.0, float("nan")], [1.0, 2.0], 0.0), ([1.0, 2.0], [1.0, 2.0], -1.0)],
)
def test_what_cannot_be_tested_is_refused_with_a_remedy(new: list[float], old: list[float], margin: float) -> None:
    with pytest.raises(InputError) as caught:
        welch(new, old, margin=margin)
    assert caught.value.remedy


def test_a_confidence_is_a_share() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        interval([1.0, 2.0], confidence=95)
    with pytest.raises(InputError, match="at least 2 seeds"):
        interval([1.0])


def test_the_schema_of_results_and_the_known_lines_load_no_scipy() -> None:
    code = "import sys, recur.record.result, recur.record.known, recur.record.stats.arm; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
