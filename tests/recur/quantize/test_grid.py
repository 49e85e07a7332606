"""Steps as stored and rounding onto them: exponents, the guard, and that codes decode to what the sweep meant."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.artifact.decode import grid_weight
from recur.errors import RecurError
from recur.quantize.grid.rounding import CODE_LIMIT, GUARD_LIMIT, GridSteps, grid_steps, round_to_grid
from recur.quantize.grid.steps import LogSteps
from recur.quantize.sweep import factorise


def flat(rows: int, columns: int, log2_step: float = 0.0) -> LogSteps:
    return LogSteps(rows=torch.full((rows,), log2_step), columns=torch.zeros(columns))


def decoded(codes: Tensor, grid: GridSteps) -> Tensor:
    return grid_weight(codes, grid.base, grid.rows, grid.columns)


def hessian(seed: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x_NC = torch.randn(4 * columns, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return x_NC.t() @ x_NC / len(x_NC)


def test_steps_are_a_base_and_rounded_eighths_by_hand() -> None:
    steps = LogSteps(rows=torch.tensor([-1.0, 0.0, 2.3]), columns=torch.tensor([0.5, -0.5]))
    grid = grid_steps(torch.ones(3, 2), steps, -3.0)
    assert (grid.base.dtype, grid.base.item(), grid.base.ndim) == (torch.float32, 2.0**-3, 0)
    assert grid.rows.tolist() == [-8, 0, 18]  # 2.3 octaves are 18.4 eighths
    assert grid.columns.tolist() == [4, -4]
    assert grid.row_steps().tolist() == pytest.approx([2.0**-4, 2.0**-3, 2.0 ** (-3 + 18 / 8)])
    assert grid.column_factors().tolist() == pytest.approx([math.sqrt(2), 1 / math.sqrt(2)])


def test_a_row_is_raised_until_its_largest_code_is_within_the_guard_by_hand() -> None:
    weight = torch.tensor([[100.0, 1.0], [400.0, 1.0]])
    grid = grid_steps(weight, flat(2, 2), 0.0)
    # 400 / 120 = 3.33 = 2^1.737: 14 eighths; the median of (0, 1.737) is the lower one, so the base stays
    assert grid.base.item() == 1.0
    assert grid.rows.tolist() == [0, 14]
    assert round_to_grid(weight, grid, None, 8).tolist() == [[100, 1], [119, 0]]


def test_rounding_to_nearest_by_hand_is_half_to_even() -> None:
    grid = GridSteps(
        base=torch.tensor(0.5), rows=torch.tensor([0, 8], dtype=torch.int8), columns=torch.zeros(3, dtype=torch.int8)
    )
    weight = torch.tensor([[0.25, 0.75, -0.6], [1.4, -1.6, 200.0]])
    assert round_to_grid(weight, grid, None, 8).tolist() == [[0, 2, -1], [1, -2, 127]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), log2_multiplier=st.floats(-60, 20), octaves=st.floats(0, 6))
def test_no_code_passes_the_guard_however_fine_the_steps_are_asked(seed: int, log2_multiplier: float, octaves: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, 10, generator=generator) * (octaves * torch.randn(6, 1, generator=generator)).exp2()
    steps = LogSteps(
        rows=octaves * torch.randn(6, generator=generator), columns=torch.randn(10, generator=generator).clamp(-2, 2)
    )
    grid = grid_steps(weight, steps, log2_multiplier)
    codes = round_to_grid(weight, grid, None, 8)
    assert int(codes.abs().max()) <= GUARD_LIMIT
    step_RC = grid.row_steps()[:, None] * grid.column_factors()[None]
    # Half a step, and the last bits of magnitudes up to 120 steps.
    assert ((decoded(codes, grid) - weight).abs() <= step_RC * (0.5 + 1e-4)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), log2_multiplier=st.floats(-8, 2))
def test_stored_steps_are_within_a_sixteenth_octave_of_those_wanted_where_the_guard_is_silent(
    seed: int, log2_multiplier: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    steps = LogSteps(rows=3 * torch.randn(5, generator=generator), columns=torch.randn(7, generator=generator))
    grid = grid_steps(torch.zeros(5, 7), steps, log2_multiplier)
    assert (grid.row_steps().log2() - steps.rows - log2_multiplier).abs().max() <= 1 / 16 + 1e-5
    assert (grid.column_factors().log2() - steps.columns).abs().max() <= 1 / 16 + 1e-5


def test_gptq_on_the_grid_equals_a_float64_oracle_with_row_and_column_steps() -> None:
    """Column by column from the inverse itself, each with its own step."""
    generator = torch.Generator().manual_seed(4)
    W, H = torch.randn(9, 40, generator=generator), hessian(4, 40)
    H[:, 5] = H[5] = 0
    factor = factorise(H, 0.01)
    assert factor is not None
    steps = LogSteps(rows=torch.linspace(-4, -3, 9), columns=torch.linspace(-0.5, 0.5, 40))
    grid = grid_steps(W, steps, 0.0)
    codes = round_to_grid(W, grid, factor, 16)
    step_RC = (grid.row_steps()[:, None] * grid.column_factors()[None]).double()
    damped, left_W = H.double().clone(), W.double().clone()
    left_W[:, 5] = 0
    damped[5, 5] = 1
    damped.diagonal().add_(0.01 * damped.diagonal().mean())
    expected, left = torch.zeros(9, 40), factor.order.tolist()
    while left:
        inverse, j = torch.linalg.inv(damped[left][:, left]), left[0]
        q = (left_W[:, j] / step_RC[:, j]).round().clamp(-CODE_LIMIT, CODE_LIMIT)
        expected[:, j] = q.float()
        left_W[:, left[1:]] -= ((left_W[:, j] - q * step_RC[:, j]) / inverse[0, 0])[:, None] * inverse[0, 1:]
        left = left[1:]
    # Float32 moves a weight across a rounding boundary now and then, and what follows it in the row.
    assert (codes != expected).double().mean() <= 0.01
    assert codes[:, 5].eq(0).all()


def test_feedback_lowers_the_hessian_error_of_rounding_to_nearest_on_the_same_grid() -> None:
    generator = torch.Generator().manual_seed(8)
    W, H = torch.randn(24, 64, generator=generator), hessian(8, 64)
    factor, grid = factorise(H, 0.01), grid_steps(W, flat(24, 64, -2.0), 0.0)
    errors = []
    for one in (factor, None):
        D = (decoded(round_to_grid(W, grid, one, 32), grid) - W).double()
        errors.append(float(((D @ H.double()) * D).sum()))
    assert errors[0] < 0.8 * errors[1]


def test_the_weight_is_left_as_it_is() -> None:
    W, H = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)), hessian(1, 6)
    H[2] = H[:, 2] = 0
    before, factor = W.clone(), factorise(H, 0.01)
    round_to_grid(W, grid_steps(W, flat(4, 6, -3.0), 0.0), factor, 4)
    assert torch.equal(W, before)


def test_zeros_single_elements_and_no_rows_are_fine() -> None:
    zeros = grid_steps(torch.zeros(3, 4), flat(3, 4), -40.0)
    assert round_to_grid(torch.zeros(3, 4), zeros, None, 8).eq(0).all()
    one = torch.tensor([[3.0]])
    grid = grid_steps(one, flat(1, 1), -50.0)
    assert float(decoded(round_to_grid(one, grid, None, 8), grid)) == pytest.approx(3.0, rel=1 / 200)
    for shape in ((0, 4), (3, 0)):
        empty = grid_steps(torch.zeros(shape), flat(*shape), 0.0)
        assert round_to_grid(torch.zeros(shape), empty, None, 8).shape == shape


def test_a_row_far_above_the_median_row_keeps_its_place_within_the_exponents() -> None:
    weight = torch.full((5, 4), 1e-9)
    weight[4] = 1e3  # forty octaves
    grid = grid_steps(weight, flat(5, 4), -60.0)
    codes = round_to_grid(weight, grid, None, 8)
    assert decoded(codes, grid)[4].tolist() == pytest.approx([1e3] * 4, rel=1 / 200)


@pytest.mark.parametrize("log2_multiplier", [-400.0, 400.0])
def test_steps_outside_float32_are_a_typed_error(log2_multiplier: float) -> None:
    with pytest.raises(RecurError, match="outside float32"):
        grid_steps(torch.zeros(2, 2), flat(2, 2), log2_multiplier)
