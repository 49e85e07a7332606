"""The solver of the multiplier: window, number of compressions, determinism, and what happens where nothing fits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable
from recur.quantize.fitting.solve import GOAL_COMPRESSIONS, MAX_COMPRESSIONS, Budget, Range, Solved, Trial, next_multiplier, solve

SEARCH = Range(low=-8.0, high=8.0)
FIXED = 1_000


def estimate(log2_multiplier: float, weights: int = 800_000) -> float:
    """Bytes of codes that lose a bit an octave until there is none left: softplus in bits."""
    return weights / 8 * math.log2(1 + 2.0 ** (2.0 - log2_multiplier))


def coder(
    ratio: Callable[[float], float], *, overhead: int = 0, noise: int = 0, log: list[float] | None = None
) -> Callable[[float], Trial]:
    """A compressor whose bytes are the estimate times ``ratio``, with noise that is a function of the multiplier."""

    def compress(m: float) -> Trial:
        if log is not None:
            log.append(m)
        jump = int(np.random.default_rng(abs(hash(m)) % 2**32).integers(-noise, noise + 1)) if noise else 0
        coded = int(estimate(m) * ratio(m)) + jump
        return Trial(log2_multiplier=m, coded_bytes=coded, total_bytes=coded + FIXED + overhead)

    return compress


def budget(cap_bytes: int, fill_frac: float = 0.9995) -> Budget:
    return Budget.of(ArtifactConfig(cap_bytes=cap_bytes, fill_frac=fill_frac))


def solved(cap_bytes: int, compress: Callable[[float], Trial]) -> Solved:
    return solve(estimate, compress, budget=budget(cap_bytes), fixed_bytes=FIXED, search=SEARCH)


def test_the_budget_is_from_the_filled_share_to_one_byte_below_the_cap_by_hand() -> None:
    assert budget(16_000_000) == Budget(low=15_992_000, high=15_999_999)
    assert budget(1_001) == Budget(low=1_000, high=1_000)  # 1000.4995 rounded up would leave nothing
    assert [budget(10_000).holds(b) for b in (9_994, 9_995, 9_999, 10_000)] == [False, True, True, False]


def test_a_right_estimate_needs_one_compression_by_hand() -> None:
    found = solved(201_000, coder(lambda m: 1.0))
    # 200,000 bytes of codes are 2 bits a weight: 2^(2-m) = 3
    assert found.best.log2_multiplier == pytest.approx(2 - math.log2(3), abs=1e-3)
    assert (len(found.trials), found.in_window) == (1, True)


@settings(max_examples=60, deadline=None)
@given(
    cap_bytes=st.integers(60_000, 400_000),
    ratio=st.floats(0.85, 1.25),
    tilt=st.floats(-0.03, 0.03),
    bend=st.floats(-0.004, 0.004),
    overhead=st.integers(0, 3_000),
    noise=st.integers(0, 8),
)
def test_the_total_lands_in_the_window_within_the_goal_of_compressions(
    cap_bytes: int, ratio: float, tilt: float, bend: float, overhead: int, noise: int
) -> None:
    compress = coder(lambda m: ratio + tilt * m + bend * m * m, overhead=overhead, noise=noise)
    found = solved(cap_bytes, compress)
    assert found.in_window and math.ceil(0.9995 * cap_bytes) <= found.best.total_bytes <= cap_bytes - 1
    assert len(found.trials) <= GOAL_COMPRESSIONS
    assert found.best == found.trials[-1]


def test_the_multiplier_equals_a_bisection_of_the_real_bytes_to_the_windows_width() -> None:
    compress = coder(lambda m: 1.1 + 0.02 * m)
    low, high = SEARCH.low, SEARCH.high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if compress(middle).total_bytes > budget(250_000).middle else (low, middle)
    found = solved(250_000, compress).best.log2_multiplier
    # the window is 0.05 % of 2 MBit wide and an octave is worth nearly a bit a weight
    assert found == pytest.approx((low + high) / 2, abs=0.002)


def test_two_solutions_of_one_problem_ask_for_the_same_multipliers() -> None:
    asked: list[list[float]] = [[], []]
    for log in asked:
        solved(123_456, coder(lambda m: 1.07, noise=40, log=log))
    assert asked[0] == asked[1]


def test_the_next_multiplier_is_a_function_of_the_trials_alone() -> None:
    trials = solved(123_456, coder(lambda m: 1.2 - 0.03 * m, noise=90)).trials
    for k in range(1, len(trials)):
        again = next_multiplier(trials[:k], estimate, budget=budget(123_456), fixed_bytes=FIXED, search=SEARCH)
        assert again == trials[k].log2_multiplier


def test_room_for_more_than_the_finest_steps_is_told_and_the_finest_are_taken() -> None:
    found = solved(10**9, coder(lambda m: 1.0))
    assert not found.in_window
    assert found.best.log2_multiplier == SEARCH.low
    assert len(found.trials) == 1


def test_a_cap_below_what_is_fixed_needs_no_compression_to_be_refused() -> None:
    log: list[float] = []
    with pytest.raises(BudgetUnreachable, match=r"^1000 bytes are fixed .* ends at 999 bytes$"):
        solved(FIXED, coder(lambda m: 1.0, log=log))
    assert log == []


def test_a_cap_below_the_coarsest_steps_names_the_smallest_size_that_was_reached() -> None:
    log: list[float] = []
    with pytest.raises(BudgetUnreachable) as raised:
        solved(FIXED + 2_000, coder(lambda m: 1.0, overhead=5_000, log=log))
    smallest = min(coder(lambda m: 1.0, overhead=5_000)(m).total_bytes for m in log)
    found = re.match(r"(\d+) bytes is the smallest size reached \(of it fixed: 1000\)", str(raised.value))
    assert found is not None and int(found[1]) == smallest
    assert SEARCH.high in log


def test_bytes_that_jump_over_the_window_end_with_the_largest_that_fits_and_say_so() -> None:
    def compress(m: float) -> Trial:
        coded = int(estimate(m)) // 5_000 * 5_000
        return Trial(log2_multiplier=m, coded_bytes=coded, total_bytes=coded + FIXED)

    found = solved(203_000, compress)
    assert not found.in_window
    assert found.best.total_bytes == 201_000
    assert len(found.trials) <= MAX_COMPRESSIONS
    assert all(t.total_bytes != 201_000 or t.total_bytes <= found.best.total_bytes for t in found.trials)


def test_a_model_without_codes_is_one_compression_and_either_fits_or_not() -> None:
    def nothing(m: float) -> Trial:
        return Trial(log2_multiplier=m, coded_bytes=0, total_bytes=FIXED)

    point = Range(low=0.0, high=0.0)
    found = solve(lambda m: 0.0, nothing, budget=budget(2_000), fixed_bytes=FIXED, search=point)
    assert (found.best.total_bytes, found.in_window, len(found.trials)) == (FIXED, False, 1)
