"""Seeds needed and differences resolved: beside a simulation, in both directions, and the statements of the rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from recur.errors import InputError
from recur.record.stats.power import just_significant, needed, planned, power, resolved
from recur.record.stats.welch import welch

SD = 0.0003


def test_the_rules_statements_are_the_just_significant_difference() -> None:
    assert just_significant(3, SD) == pytest.approx(0.0009, abs=5e-5)
    assert just_significant(5, SD) == pytest.approx(0.00055, abs=5e-6)
    assert just_significant(3, SD, margin=0.0022) == pytest.approx(0.0031, abs=5e-5)


def test_just_significant_is_what_welch_calls_p_one_hundredth() -> None:
    half = SD * (2 / 3) ** 0.5  # three values a, a + d, a - d with sample deviation SD have d = SD
    old = [1.0, 1.0 + SD, 1.0 - SD]
    new = [v - just_significant(3, SD) for v in old]
    assert welch(new, old).p_one_sided == pytest.approx(0.01, rel=1e-9)
    assert welch(new, old).se == pytest.approx(half)


def test_power_agrees_with_a_simulation() -> None:
    rng = np.random.default_rng(7)
    new, old = rng.normal(-0.0009, SD, (20_000, 4)), rng.normal(0, SD, (20_000, 4))
    # equal n: the noncentral t is that of the pooled test, of which Welch's is the cautious cousin
    share = (scipy_stats.ttest_ind(new, old, axis=1, alternative="less").pvalue < 0.01).mean()
    assert power(0.0009, 4, SD) == pytest.approx(share, abs=0.015)  # four standard errors of the simulation


def test_at_the_margin_the_chance_is_alpha_and_below_it_smaller() -> None:
    assert power(0.002, 3, SD, margin=0.002) == pytest.approx(0.01)
    assert power(0.0, 3, SD, margin=0.002) < 1e-6
    assert power(-1.0, 3, SD) == 0.0


@settings(max_examples=25)
@given(st.integers(2, 30), st.floats(1e-5, 1e-2), st.sampled_from([0.0, 0.0022]))
def test_needed_is_the_inverse_of_resolved(n: int, sd: float, margin: float) -> None:
    difference = resolved(n, sd, margin=margin)
    assert power(difference, n, sd, margin=margin) == pytest.approx(0.8, abs=1e-6)
    assert needed(margin + (difference - margin) * 1.0001, sd, margin=margin) == n


@settings(max_examples=25)
@given(st.integers(2, 30), st.floats(1e-4, 1e-2))
def test_more_seeds_resolve_less_and_more_spread_resolves_more(n: int, sd: float) -> None:
    assert resolved(n + 1, sd) < resolved(n, sd) < resolved(n, 1.5 * sd)
    assert needed(2 * sd, sd) <= needed(sd, sd)


def test_the_plan_is_one_line_with_the_numbers() -> None:
    line = planned(3, SD)
    assert "\n" not in line
    assert f"resolve {resolved(3, SD):.5f} BPB" in line
    assert f"0.0005 needs {needed(0.0005, SD)}" in line
    assert "p < .01, power .8" in line
    assert "nothing can be tested" in planned(1, SD)


def test_a_deviation_that_no_number_of_seeds_beats_is_told_and_refuses_no_plan() -> None:
    assert planned(3, 0.05).endswith("0.0005 needs more than 10,000")
    assert "needs more than 10,000 (p <" in planned(1, 0.05)
    with pytest.raises(InputError, match="above zero"):
        planned(1, 0.0)


def test_what_no_number_of_seeds_shows_is_refused() -> None:
    with pytest.raises(InputError, match="above the margin"):
        needed(0.002, SD, margin=0.002)
    with pytest.raises(InputError, match="more than 10,000 seeds"):
        needed(1e-7, SD)
    with pytest.raises(InputError, match="above zero"):
        resolved(3, 0.0)
    with pytest.raises(InputError, match="at least 2 seeds"):
        resolved(1, SD)
    with pytest.raises(InputError, match="between alpha"):
        resolved(3, SD, power=0.005)
