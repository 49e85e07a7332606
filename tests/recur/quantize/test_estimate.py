"""The entropy estimate of the codes' bytes: the table, the histogram, its shifts, against real codes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.quantize.grid.estimate import (
    BINS_PER_OCTAVE,
    FINEST_OCTAVES,
    SpreadHistogram,
    centres,
    gaussian_code_bits,
    histogram,
    total,
)
from recur.quantize.grid.rounding import grid_steps, round_to_grid
from recur.quantize.grid.steps import LogSteps, spread


def gaussian(seed: int, rows: int, columns: int, row_octaves: float = 0.0, column_octaves: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    row_R1 = (row_octaves * torch.randn(rows, 1, generator=generator)).exp2()
    column_1C = (column_octaves * torch.randn(1, columns, generator=generator)).exp2()
    return torch.randn(rows, columns, generator=generator) * row_R1 * column_1C


def flat(weight: Tensor, log2_step: float = 0.0) -> LogSteps:
    return LogSteps(rows=torch.full(weight.shape[:1], log2_step), columns=torch.zeros(weight.shape[1]))


def entropy_bits(codes: Tensor) -> float:
    counts = np.unique(codes.numpy(), return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def oracle_bits(sigma: float) -> float:
    """Entropy of a rounded Gaussian from `math.erfc` of each interval's edges."""
    limit = math.ceil(12 * sigma) + 2
    bits = 0.0
    for k in range(limit + 1):  # by symmetry: k = 0 once, every other code twice
        low, high = (k - 0.5) / (sigma * math.sqrt(2)), (k + 0.5) / (sigma * math.sqrt(2))
        mass = 0.5 * (math.erfc(low) - math.erfc(high))
        bits -= (1 if k == 0 else 2) * (mass * math.log2(mass) if mass > 0 else 0.0)
    return bits


def test_a_histogram_by_hand() -> None:
    weight = torch.tensor([[2.0, -2.0], [8.0, 8.0]])
    found = histogram(weight, LogSteps(rows=torch.tensor([0.0, 1.0]), columns=torch.tensor([0.5, -0.5])))
    # rows: spreads 2 and 8 against steps 1 and 2, so 1 and 2 octaves; columns are alike, their steps half an octave off
    assert {float(c): int(n) for c, n in zip(centres(), found.counts, strict=True) if n} == {0.5: 1, 1.5: 2, 2.5: 1}


@pytest.mark.parametrize("sigma", [0.03125, 0.2, 0.405, 1.0, 2.47, 7.0, 15.9, 17.0, 40.0])
def test_bits_of_gaussian_codes_equal_a_float64_oracle(sigma: float) -> None:
    found = float(gaussian_code_bits(np.array([math.log2(sigma)]))[0])
    # the limit formula leaves out 1 / (24 sigma^2) nats, 0.0002 bits at 17
    assert found == pytest.approx(oracle_bits(sigma), abs=1e-9 if sigma <= 16 else 3e-4)


def test_bits_rise_with_the_spread_without_a_jump_where_the_formula_takes_over() -> None:
    bits = gaussian_code_bits(np.arange(-20, 12, 1 / 64))
    steps = np.diff(bits)
    assert (steps >= 0).all() and steps.max() <= 1 / 64 + 1e-6
    assert bits[0] == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6), octaves=st.floats(0, 1.2), columns=st.floats(0, 0.6), log2_step=st.sampled_from([-3.0, -1.3, 0.3])
)
def test_the_estimate_is_close_to_the_entropy_of_real_codes(seed: int, octaves: float, columns: float, log2_step: float) -> None:
    weight = gaussian(seed, 96, 128, octaves, columns)
    weight = weight / weight.square().mean().sqrt()
    steps = LogSteps(rows=spread(weight).log2() + log2_step, columns=torch.zeros(128))
    estimate = histogram(weight, steps).bits(0.0)
    grid = grid_steps(weight, steps, 0.0)
    codes, per_column = round_to_grid(weight, grid, None, 64), 0.0
    for column in codes.t():  # an order-0 model a column knows nearly all that the histogram does
        per_column += entropy_bits(column) + 0.5 * (len(column.unique()) - 1) / math.log(2)  # Miller-Madow
    assert estimate == pytest.approx(per_column, rel=0.04)  # bins of 1/16 octave, and the entropies' own noise


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.integers(-40, 40))
def test_another_multiplier_is_the_same_as_other_steps(seed: int, shift: int) -> None:
    weight, octaves = gaussian(seed, 12, 9, 1.0, 0.5), shift / BINS_PER_OCTAVE
    shifted = histogram(weight, flat(weight, octaves)).bits(0.0)
    assert histogram(weight, flat(weight)).bits(octaves) == pytest.approx(shifted, rel=1e-2, abs=1.0)


def test_bits_fall_over_the_support_from_the_guards_limit_to_nothing() -> None:
    weight = gaussian(5, 64, 48, 1.0, 0.5)
    found = histogram(weight, flat(weight))
    support = found.support()
    bits = [found.bits(m) for m in np.linspace(support.low, support.high, 40)]
    assert all(a > b for a, b in pairwise(bits))
    finest = float(gaussian_code_bits(np.array([FINEST_OCTAVES]))[0])
    assert found.bits(support.low - 3) == found.bits(support.low) == pytest.approx(finest * weight.numel())
    assert bits[-1] < 1e-6 * bits[0]
    assert round_to_grid(weight, grid_steps(weight, flat(weight), support.high), None, 64).eq(0).all()


def test_histograms_add_up_in_any_order_and_none_is_nothing() -> None:
    parts = [histogram(w, flat(w)) for w in (gaussian(1, 5, 6), gaussian(2, 7, 3, 1.0), torch.zeros(2, 2))]
    assert np.array_equal(total(parts).counts, total(reversed(parts)).counts)
    assert total(parts).counts.sum() == 30 + 21 + 4
    empty = total([])
    assert np.array_equal(empty.counts, SpreadHistogram.empty().counts)
    assert (empty.bits(0.0), empty.support().low, empty.support().high) == (0.0, 0.0, 0.0)


def test_spreads_beyond_the_histogram_are_kept_at_its_ends() -> None:
    tiny, huge = torch.full((1, 2), 1e-18), torch.full((1, 2), 1e18)
    assert histogram(tiny, flat(tiny)).counts[0] == 2
    assert histogram(huge, flat(huge)).counts[-1] == 2
