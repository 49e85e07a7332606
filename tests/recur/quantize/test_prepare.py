"""From a weight and its calibration to what the fit needs: the lookup share, costs, and typed errors."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.config import QuantizeConfig
from recur.errors import QuantizationError, RecurError
from recur.quantize.classes import TensorClass
from recur.quantize.grid.prepare import Calibrated, Prepared, prepare

CFG = QuantizeConfig(slope_exponent=1.0, step_layout="row")
FC, HEAD = "blocks.3.mlp.fc.weight", "tok_emb.weight"


def inputs(seed: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_NC = torch.randn(4 * columns, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator), x_NC.t() @ x_NC / len(x_NC)


def matrix(weight: Tensor, known: Calibrated, cfg: QuantizeConfig = CFG) -> Prepared:
    return prepare(FC, weight, known, TensorClass.MATRIX, cfg)


def test_steps_of_a_table_weigh_head_and_lookups_by_hand() -> None:
    known = Calibrated(
        hessian=torch.diag(torch.tensor([3.0, 1.0])), outputs=torch.tensor([1.0, 3.0]), lookups=torch.tensor([6.0, 2.0])
    )
    ready = prepare(HEAD, torch.ones(2, 2), known, TensorClass.TABLE, replace(CFG, damping=1e-12))
    # lookups cost 4 in the mean, outputs 2: twice the identity is added; the variances 5 and 3 have mean 4,
    # which holds 2 for the lookups: rows cost 1 * 4 + 6 - 2 = 8 and 3 * 4 + 2 - 6 = 8
    assert ready.factor is not None
    assert ready.factor.conditional_variances().tolist() == pytest.approx([5.0, 3.0])
    assert ready.steps.rows.tolist() == pytest.approx([-1.5, -1.5])


def test_a_matrix_costs_its_outputs_times_the_conditional_variances_by_hand() -> None:
    H = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    ready = matrix(torch.ones(2, 2), Calibrated(hessian=H, outputs=torch.tensor([1.0, 4.0])), replace(CFG, damping=1e-12))
    # the first column, given the second: 2 - 1/2; the second: 2
    assert sorted(ready.factor.conditional_variances().tolist()) == pytest.approx([1.5, 2.0])  # type: ignore[union-attr]
    assert ready.steps.rows.tolist() == pytest.approx([-0.5 * math.log2(1.75), -0.5 * math.log2(7.0)])


def test_the_factor_is_that_of_the_damped_hessian_with_the_lookups_share_against_a_float64_oracle() -> None:
    W, H = inputs(2, 6, 20)
    generator = torch.Generator().manual_seed(3)
    G, L = torch.rand(6, generator=generator), 5 * torch.rand(6, generator=generator)
    ready = prepare(HEAD, W, Calibrated(hessian=H, outputs=G, lookups=L), TensorClass.TABLE, CFG)
    assert ready.factor is not None
    full = H.double() + float(L.double().mean() / G.double().mean()) * torch.eye(20, dtype=torch.float64)
    full += CFG.damping * full.diagonal().mean() * torch.eye(20, dtype=torch.float64)
    inverse = torch.linalg.inv(full)[ready.factor.order][:, ready.factor.order]
    upper = ready.factor.upper.double()
    assert torch.allclose(upper.t() @ upper, inverse, rtol=1e-3, atol=1e-4 * float(inverse.abs().max()))  # float32 inverse


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 50.0))
def test_lookups_only_ever_make_steps_finer_in_the_mean_and_rows_stay_positive(seed: int, share: float) -> None:
    W, H = inputs(seed, 8, 12)
    generator = torch.Generator().manual_seed(seed)
    G, L = torch.rand(8, generator=generator) + 0.01, share * torch.rand(8, generator=generator)
    without = prepare(HEAD, W, Calibrated(hessian=H, outputs=G), TensorClass.TABLE, CFG)
    with_lookups = prepare(HEAD, W, Calibrated(hessian=H, outputs=G, lookups=L), TensorClass.TABLE, CFG)
    assert torch.isfinite(with_lookups.steps.rows).all()
    cost, more = (float((-2 * one.steps.rows).exp2().mean()) for one in (without, with_lookups))
    assert more >= cost * (1 - 1e-4)
    assert torch.equal(with_lookups.weight, W)


def test_a_table_that_is_only_looked_up_is_rounded_to_nearest_by_its_lookups() -> None:
    known = Calibrated(lookups=torch.tensor([1.0, 16.0]))
    ready = prepare("ve_shared.embed.weight", torch.ones(2, 3), known, TensorClass.TABLE, CFG)
    assert ready.factor is None
    assert ready.steps.rows.tolist() == pytest.approx([0.0, -2.0])


def test_calibration_that_never_saw_anything_leaves_finite_steps() -> None:
    known = Calibrated(hessian=torch.zeros(3, 3), outputs=torch.zeros(2), lookups=torch.zeros(2))
    ready = prepare(HEAD, torch.ones(2, 3), known, TensorClass.TABLE, QuantizeConfig())
    assert ready.factor is not None and ready.factor.dead.all()
    assert torch.isfinite(ready.steps.rows).all() and torch.isfinite(ready.steps.columns).all()
    assert matrix(torch.ones(2, 3), Calibrated()).factor is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_a_typed_error_with_the_name(bad: float) -> None:
    W, H = inputs(4, 3, 4)
    W[1, 2] = bad
    with pytest.raises(QuantizationError, match=rf"^{FC} holds NaN or infinity"):
        matrix(W, Calibrated(hessian=H))


def test_a_hessian_that_is_not_positive_definite_even_damped_names_matrix_damping_and_smallest_diagonal() -> None:
    W, H = inputs(5, 3, 6)
    H[4, 4] = -123.25
    with pytest.raises(QuantizationError) as raised:
        matrix(W, Calibrated(hessian=H), replace(CFG, damping=0.02))
    told = str(raised.value)
    assert told.startswith(f"the Hessian of {FC} is not positive definite even damped")
    assert "quantize.damping=0.02" in told and "smallest diagonal -123" in told
    assert "\n" not in told
    assert isinstance(raised.value, RecurError)


def test_a_singular_hessian_is_mended_by_damping() -> None:
    x = torch.arange(1.0, 6.0)[None]
    ready = matrix(torch.ones(2, 5), Calibrated(hessian=x.t() @ x, outputs=torch.ones(2)))
    assert ready.factor is not None


def test_a_hessian_that_is_not_finite_is_a_typed_error_of_its_own() -> None:
    W, H = inputs(6, 3, 4)
    H[0, 0] = math.nan
    with pytest.raises(QuantizationError, match=rf"the Hessian of {FC} holds NaN or infinity"):
        matrix(W, Calibrated(hessian=H))
