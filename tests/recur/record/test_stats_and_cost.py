"""Spread over seeds, bytes against the cap, the sweep's summary."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.record.cost import ByteCount
from recur.record.result import State
from recur.record.stats import spread
from tests.recur.record.samples import facts, failed, finished, reference_seed, sweep


def test_spread_by_hand() -> None:
    s = spread([2.0, 4.0, 9.0])
    assert s is not None
    assert (s.n, s.mean, s.low, s.high) == (3, 5.0, 2.0, 9.0)
    assert s.sd == pytest.approx(math.sqrt(26 / 2))
    assert s.sd_population == pytest.approx(math.sqrt(26 / 3))


def test_one_value_has_no_deviation_and_none_has_no_spread() -> None:
    one = spread([1.25])
    assert one is not None
    assert (one.mean, one.sd, one.sd_population) == (1.25, None, 0.0)
    assert spread([]) is None


def test_a_value_that_is_no_number_is_not_left_out_of_the_mean() -> None:
    s = spread([1.0, math.nan])
    assert s is not None
    assert math.isnan(s.mean)
    assert s.n == 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_spread_agrees_with_exact_fractions_and_not_with_order(values: list[float]) -> None:
    s = spread(values)
    assert s is not None
    assert s.sd is not None
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    variance = sum((v - mean) ** 2 for v in exact) / (len(exact) - 1)
    assert s.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-12)
    assert s.sd == pytest.approx(math.sqrt(variance), rel=1e-12, abs=1e-150)
    shuffled = random.Random(0).sample(values, len(values))
    assert spread(shuffled) == s


def test_bytes_are_model_and_code_and_the_rest_is_slack() -> None:
    size = ByteCount(model_bytes=15_871_292, code_bytes=83_566, cap_bytes=16_000_000)
    assert (size.total_bytes, size.slack_bytes) == (15_954_858, 45_142)
    assert ByteCount(model_bytes=11, code_bytes=0, cap_bytes=10).slack_bytes == -1


def test_means_are_over_succeeded_seeds_only() -> None:
    result = sweep(finished(1, sliding=1.0), finished(2, sliding=1.2), failed(3))
    assert (result.n, result.state) == (2, State.FAILED)
    assert result.mean_val_bpb == pytest.approx(1.1)
    assert result.std_val_bpb == pytest.approx(math.sqrt(0.02))
    assert (result.mean_total_bytes, result.max_total_bytes) == (1100.0, 1100)


def test_one_seed_has_no_deviation_and_no_seed_no_mean() -> None:
    assert sweep(finished()).std_val_bpb is None
    empty = sweep(failed())
    assert (empty.n, empty.mean_val_bpb, empty.max_total_bytes) == (0, None, None)


def test_the_reference_runs_three_seeds_summarise_to_their_published_mean() -> None:
    result = sweep(*(reference_seed(int(seed), run) for seed, run in facts()["runs"].items()))
    assert result.mean_val_bpb == pytest.approx(1.0924766766666667, abs=1e-15)
    assert result.std_val_bpb == pytest.approx(0.0003343586517997622, abs=1e-15)
    assert result.mean_total_bytes == pytest.approx(15954432.666666666)
    assert result.max_total_bytes == 15959674
