"""Clip rules and rounding to nearest (REFERENCE 8.2, 8.3)."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import QuantizeConfig
from recur.quantize.rounding import clip_search, quantize_block, quantize_table
from recur.quantize.scales import half_steps, int6_row_scales, row_clips

OURS = QuantizeConfig()
FAITHFUL = replace(OURS, scale_floor=True, unrounded_table_scale=True, candidate_error="mse")


def test_row_clip_interpolates_between_order_statistics() -> None:
    W_RC = torch.tensor([[0.0, -1.0, 2.0, -3.0, 4.0]])
    assert row_clips(W_RC, (0.5, 0.625, 1.0)).tolist() == [[2.0], [2.5], [4.0]]


def test_row_clips_equal_the_float64_quantile() -> None:
    W_RC = torch.randn(7, 301, generator=torch.Generator().manual_seed(1))
    oracle = np.quantile(W_RC.abs().double().numpy(), OURS.clip_percentiles, axis=1)
    # The position p*(n-1) is float32 in the reference: its rounding moves the clip by up to 300 * 2^-24 of a gap.
    assert np.allclose(row_clips(W_RC, OURS.clip_percentiles).numpy(), oracle, rtol=2e-4)


def test_the_floor_makes_every_candidate_of_a_small_row_the_same_step() -> None:
    W_RC = torch.randn(4, 50, generator=torch.Generator().manual_seed(2)) * 0.08
    scales_PR = int6_row_scales(W_RC, dataclasses.replace(OURS, scale_floor=True))
    assert scales_PR.unique().tolist() == [float(torch.tensor(1 / 31).half())]  # type: ignore[no-untyped-call]
    assert int6_row_scales(W_RC, OURS).max() < 1 / 31


def test_clip_search_codes_a_row_by_hand() -> None:
    W_RC = torch.tensor([[31.0, -15.5, 2.5, 0.4]])
    result = clip_search(W_RC, replace(OURS, clip_percentiles=(1.0,)), method="clip_search")
    assert result.scale.tolist() == [1.0]
    assert result.q.tolist() == [[31, -16, 2, 0]]  # halves go to even
    assert result.meta == {"type": "int6", "method": "clip_search"}


def test_clip_search_takes_the_first_of_equal_candidates_and_no_worse_one() -> None:
    W_RC = torch.randn(16, 200, generator=torch.Generator().manual_seed(3)) ** 3
    chosen = clip_search(W_RC, OURS, method=None)
    errors = []
    for p in OURS.clip_percentiles:
        single = clip_search(W_RC, replace(OURS, clip_percentiles=(p,)), method=None)
        errors.append(float((W_RC - single.q * single.scale.float()[:, None]).square().mean()))
    error = float((W_RC - chosen.q * chosen.scale.float()[:, None]).square().mean())
    assert error == min(errors)


@pytest.mark.parametrize("cfg", [OURS, FAITHFUL])
def test_rows_of_zeros_get_codes_of_zero_and_a_positive_step(cfg: QuantizeConfig) -> None:
    W_RC = torch.zeros(3, 40)
    W_RC[1, 0] = 1e-9
    for result in (clip_search(W_RC, cfg, method=None), quantize_table(W_RC, cfg)):
        assert (result.scale > 0).all()
        assert result.q[0].eq(0).all()
        assert result.q[2].eq(0).all()


def test_a_row_with_one_large_value_keeps_it_without_the_floor() -> None:
    W_RC = torch.zeros(1, 4000)
    W_RC[0, 17] = -0.25
    result = clip_search(W_RC, OURS, method=None)
    assert result.q[0, 17] == -31
    assert float(result.q[0, 17] * result.scale[0]) == pytest.approx(-0.25, rel=1e-3)


def test_steps_survive_the_range_of_float16() -> None:
    steps = half_steps(torch.tensor([0.0, 1e-30, 1.0, 1e30]))
    assert steps.tolist() == [1.0, 2.0**-24, 1.0, 65504.0]


def test_block_of_zeros_has_the_step_one() -> None:
    result = quantize_block(torch.zeros(2, 2, 2))
    assert result.scale.shape == ()
    assert result.scale.item() == 1.0
    assert quantize_block(torch.tensor([3.0, -6.2])).q.tolist() == [15, -31]


def test_table_codes_use_the_step_that_decodes_them_unless_faithful() -> None:
    W_RC = torch.randn(30, 64, generator=torch.Generator().manual_seed(4)) * 0.1
    result = quantize_table(W_RC, OURS)
    step = result.scale.float()[:, None]
    assert torch.equal(result.q.float(), (W_RC / step).round().clamp(-127, 127))
    faithful = quantize_table(W_RC, FAITHFUL)
    assert torch.equal(faithful.scale, torch.full((30,), 1 / 127).half())
    assert torch.equal(faithful.q.float(), (W_RC / (torch.ones(()) / 127)).round())


def test_table_of_another_shape_has_one_float32_step() -> None:
    result = quantize_table(torch.tensor([1.0, -0.503]), OURS)
    assert result.scale.dtype is torch.float32
    assert result.scale.shape == ()
    assert result.q.tolist() == [127, -64]
    assert quantize_table(torch.zeros(3), OURS).scale.item() == 1.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 6), columns=st.integers(1, 40), spread=st.floats(1e-3, 50))
def test_with_the_maximum_as_clip_no_weight_moves_by_more_than_half_a_step(
    seed: int, rows: int, columns: int, spread: float
) -> None:
    W_RC = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * spread
    result = clip_search(W_RC, replace(OURS, clip_percentiles=(1.0,)), method=None)
    step = result.scale.float()[:, None]
    # float16 rounds the step by up to 2^-11, so the largest code may miss its weight by 31 * 2^-11 steps more.
    assert ((W_RC - result.q * step).abs() <= step * (0.5 + 31 * 2**-11)).all()
