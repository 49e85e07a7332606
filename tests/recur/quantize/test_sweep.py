"""The column sweep with a step for each column, other code limits, and the conditional variances of its factor."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.quantize.sweep import Factor, factorise, sweep


def inputs(seed: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_NC = torch.randn(4 * columns, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator), x_NC.t() @ x_NC / len(x_NC)


def factor_of(H: Tensor, damping: float = 0.01) -> Factor:
    found = factorise(H, damping)
    assert found is not None
    return found


def test_column_steps_by_hand() -> None:
    W = torch.tensor([[1.3, 5.2]])
    codes = sweep(W, torch.tensor([1.0]), torch.eye(2), 8, limit=127, column_C=torch.tensor([0.5, 2.0]))
    assert codes.tolist() == [[3, 3]]  # 1.3 / 0.5 and 5.2 / 2
    # H^-1 = U^T U with U = [[1, -0.5], [0, 1]]: the error -0.2 of the first goes into the second with weight 0.5
    upper = torch.tensor([[1.0, -0.5], [0.0, 1.0]])
    assert sweep(W, torch.tensor([1.0]), upper, 8, limit=127, column_C=torch.tensor([0.5, 0.2])).tolist() == [[3, 26]]
    assert sweep(torch.tensor([[1.3, 5.26]]), torch.ones(1), upper, 8, column_C=torch.tensor([0.5, 0.2])).tolist() == [[3, 26]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.sampled_from([3, 17, 50]), octaves=st.floats(0, 2))
def test_column_steps_are_the_plain_sweep_of_a_rescaled_weight_and_hessian(seed: int, columns: int, octaves: float) -> None:
    W, H = inputs(seed, 7, columns)
    generator = torch.Generator().manual_seed(seed)
    factor, step_R = factor_of(H), torch.rand(7, generator=generator) * 0.1 + 0.05
    column_C = (octaves * torch.randn(columns, generator=generator)).exp2()
    ordered = W[:, factor.order]
    found = sweep(ordered, step_R, factor.upper, 16, limit=127, column_C=column_C)
    # W / c with inputs c x: H is scaled by c on both sides, and U by 1 / c on its columns
    plain = sweep(ordered / column_C, step_R, factor.upper / column_C, 16, limit=127)
    # Float32 moves a weight across a rounding boundary now and then, and what follows it in the row.
    assert (found != plain).double().mean() <= 0.02


def test_column_steps_equal_the_rescaled_hessians_own_factor() -> None:
    W, H = inputs(3, 6, 30)
    factor = factor_of(H, 1e-9)
    H, W = H[factor.order][:, factor.order], W[:, factor.order]
    column_C = torch.linspace(0.5, 2.0, 30)
    scaled = torch.linalg.cholesky(torch.linalg.inv((H * column_C[:, None] * column_C[None]).double()), upper=True).float()
    step_R = torch.full((6,), 0.1)
    found = sweep(W, step_R, factor.upper, 8, limit=127, column_C=column_C)
    assert (found != sweep(W / column_C, step_R, scaled, 8, limit=127)).double().mean() <= 0.02  # as above


def test_column_steps_of_one_change_nothing() -> None:
    W, H = inputs(5, 8, 40)
    factor, step_R = factor_of(H), torch.full((8,), 0.07)
    plain = sweep(W[:, factor.order], step_R, factor.upper, 16)
    assert torch.equal(plain, sweep(W[:, factor.order], step_R, factor.upper, 16, column_C=torch.ones(40)))


@pytest.mark.parametrize("limit", [7, 31, 127])
def test_codes_stay_within_the_limit_and_reach_it(limit: int) -> None:
    W, H = inputs(6, 8, 20)
    factor = factor_of(H)
    codes = sweep(W[:, factor.order] * 100, torch.full((8,), 0.1), factor.upper, 16, limit=limit)
    assert codes.dtype is torch.int8
    assert int(codes.abs().max()) == limit


def test_conditional_variances_by_hand() -> None:
    # the larger diagonal first: 5 - 2 * 2 / 2 given the other, which comes last and is given nothing
    assert factor_of(torch.tensor([[2.0, 2.0], [2.0, 5.0]]), 1e-12).conditional_variances().tolist() == pytest.approx([2.0, 3.0])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.integers(2, 40))
def test_conditional_variances_equal_float64_schur_complements(seed: int, columns: int) -> None:
    _, H = inputs(seed, 1, columns)
    factor = factor_of(H)
    damped = H.double() + 0.01 * float(H.diagonal().double().mean()) * torch.eye(columns, dtype=torch.float64)
    found, order = factor.conditional_variances().double(), factor.order.tolist()
    for k, j in enumerate(order):
        later = order[k + 1 :]
        explained = damped[j, later] @ torch.linalg.solve(damped[later][:, later], damped[later, j]) if later else 0.0
        # Float32 inverse of a matrix whose condition number the damping holds below some thousands.
        assert float(found[j]) == pytest.approx(float(damped[j, j] - explained), rel=5e-3)


def test_conditional_variances_of_independent_inputs_are_their_own_and_never_larger() -> None:
    diagonal = torch.tensor([3.0, 1.0, 2.0])
    assert factor_of(torch.diag(diagonal), 1e-12).conditional_variances().tolist() == pytest.approx([3.0, 1.0, 2.0])
    _, H = inputs(9, 1, 25)
    own = H.diagonal() + 0.01 * H.diagonal().mean()
    assert (factor_of(H).conditional_variances() <= own * (1 + 1e-5)).all()


def test_inputs_that_never_came_have_no_variance() -> None:
    _, H = inputs(7, 1, 6)
    H[4] = H[:, 4] = 0
    variance = factor_of(H).conditional_variances()
    assert variance[4] == 0
    assert (variance[[0, 1, 2, 3, 5]] > 0).all()
    assert factor_of(torch.zeros(3, 3)).conditional_variances().tolist() == [0.0] * 3
