"""GPTQ with activation order (REFERENCE 8.5)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.matrix.gptq import distinct_candidates, quantize_matrix
from recur.quantize.rounding import clip_search
from recur.quantize.scales import int6_row_scales
from recur.quantize.sweep import factorise, sweep
from recur.quantize.tensors import QuantizedTensor

OURS = QuantizeConfig()
FAITHFUL = replace(OURS, scale_floor=True, candidate_error="mse")


def inputs(seed: int, rows: int, columns: int, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_NC = torch.randn(4 * columns, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator) * spread, x_NC.t() @ x_NC / len(x_NC)


def hessian_error(W: Tensor, H: Tensor, result: QuantizedTensor) -> float:
    D = (W - result.q * result.scale.float()[:, None]).double()
    return float(((D @ H.double()) * D).sum())


def oracle_codes(W: Tensor, H: Tensor, step: Tensor, damping: float) -> Tensor:
    """Column by column in float64: the best correction of the columns that are left, from the inverse itself."""
    W, H = W.double().clone(), H.double().clone()
    dead = H.diagonal() == 0
    W[:, dead] = 0
    H.diagonal()[dead] = 1
    H.diagonal().add_(damping * H.diagonal().mean())
    left = torch.argsort(H.diagonal(), descending=True, stable=True).tolist()
    codes = torch.zeros_like(W)
    while left:
        inverse = torch.linalg.inv(H[left][:, left])
        j = left[0]
        codes[:, j] = (W[:, j] / step).round().clamp(-31, 31)
        error = (W[:, j] - codes[:, j] * step) / inverse[0, 0]
        W[:, left[1:]] -= error[:, None] * inverse[0, 1:]
        left = left[1:]
    return codes


def test_half_of_the_error_goes_to_the_correlated_column_by_hand() -> None:
    step = float(torch.tensor(1 / 31).half())
    W = torch.tensor([[10.4, 3.4]]) * step
    H = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    assert quantize_matrix(W, H, replace(FAITHFUL, damping=0.0)).q.tolist() == [[10, 4]]  # 3.4 + 0.4 / 2 rounds up
    assert quantize_matrix(W, torch.eye(2), replace(FAITHFUL, damping=0.0)).q.tolist() == [[10, 3]]


@pytest.mark.parametrize("columns", [24, 129, 200])
def test_codes_equal_a_float64_oracle(columns: int) -> None:
    W, H = inputs(5, 12, columns)
    H[:, 3] = H[3] = 0
    cfg = replace(FAITHFUL, clip_percentiles=(1.0,))
    result = quantize_matrix(W, H, cfg)
    oracle = oracle_codes(W, H, result.scale.double(), cfg.damping)
    # Float32 moves a weight across a rounding boundary now and then, and what follows it in the row.
    assert (result.q != oracle).double().mean() <= 0.01
    assert result.q[:, 3].eq(0).all()


def test_each_candidate_swept_alone_gives_the_same_codes_as_all_at_once() -> None:
    W, H = inputs(6, 20, 150)
    factor = factorise(H, OURS.damping)
    assert factor is not None
    ordered = W[:, factor.order]
    for spread_floor in (True, False):
        scales_PR = int6_row_scales(W * 3, dataclasses.replace(OURS, scale_floor=spread_floor))
        found = distinct_candidates(scales_PR)
        together = sweep(ordered[found.row], found.scale.float(), factor.upper, 128)
        for p, scale_R in enumerate(scales_PR):
            alone = sweep(ordered, scale_R.float(), factor.upper, 128)
            assert torch.equal(alone, together[found.pair[p]])


def test_equal_candidates_are_swept_once() -> None:
    scales = torch.tensor([[1.0, 2.0, 3.0], [1.0, 5.0, 3.0], [1.0, 2.0, 4.0]]).half()
    found = distinct_candidates(scales)
    assert found.row.tolist() == [0, 1, 2, 1, 2]
    assert found.scale.tolist() == [1, 2, 3, 5, 4]
    assert found.pair.tolist() == [[0, 1, 2], [0, 3, 2], [0, 1, 4]]


def test_the_block_size_does_not_change_the_codes_beyond_rounding() -> None:
    W, H = inputs(7, 16, 160)
    whole = quantize_matrix(W, H, replace(FAITHFUL, block_columns=160))
    for block in (1, 7, 128):
        other = quantize_matrix(W, H, replace(FAITHFUL, block_columns=block))
        assert (whole.q != other.q).double().mean() <= 0.01


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 12), columns=st.integers(8, 70))
def test_choosing_by_hessian_error_never_loses_to_choosing_by_mse(seed: int, rows: int, columns: int) -> None:
    W, H = inputs(seed, rows, columns)
    ours = quantize_matrix(W, H, OURS)
    by_mse = quantize_matrix(W, H, replace(OURS, candidate_error="mse"))
    assert hessian_error(W, H, ours) <= hessian_error(W, H, by_mse) * (1 + 1e-4)


def test_feedback_lowers_the_hessian_error_of_plain_rounding() -> None:
    W, H = inputs(8, 32, 96)
    assert hessian_error(W, H, quantize_matrix(W, H, FAITHFUL)) < 0.8 * hessian_error(W, H, clip_search(W, FAITHFUL, method=None))


@pytest.mark.parametrize("broken", [math.nan, -1e6])
def test_a_hessian_that_cannot_be_factorised_falls_back_and_says_so(broken: float) -> None:
    W, H = inputs(9, 6, 20)
    H[4, 4] = broken
    result = quantize_matrix(W, H, OURS)
    assert result.meta == {"type": "int6", "method": "clip_search"}
    assert torch.equal(result.q, clip_search(W, OURS, method=None).q)
    assert quantize_matrix(W, None, OURS).meta["method"] == "clip_search"


def test_a_layer_without_any_input_gets_codes_of_zero() -> None:
    W, _ = inputs(10, 4, 12)
    result = quantize_matrix(W, torch.zeros(12, 12), OURS)
    assert result.q.eq(0).all()
    assert result.meta["method"] == "gptq"


def test_zero_weights_and_single_columns_are_fine() -> None:
    _, H = inputs(11, 4, 12)
    assert quantize_matrix(torch.zeros(4, 12), H, OURS).q.eq(0).all()
    assert quantize_matrix(torch.tensor([[0.5]]), torch.ones(1, 1), OURS).q.tolist() == [[31]]


def test_the_weight_and_the_hessian_are_left_as_they_are() -> None:
    W, H = inputs(12, 8, 30)
    H[2] = H[:, 2] = 0
    before = W.clone(), H.clone()
    quantize_matrix(W, H, OURS)
    assert torch.equal(W, before[0])
    assert torch.equal(H, before[1])
