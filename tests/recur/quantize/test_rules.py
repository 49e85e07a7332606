"""Scale rules: the shape of the steps from spreads and sensitivities (QUANTIZATION 3-4)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.components import available, component
from recur.config import QuantizeConfig
from recur.quantize.grid.steps import FLOOR_FRAC, LogSteps, Role, Sensitivity, floored, spread

CFG = QuantizeConfig()
RULES = "recur.quantize.rules"
LAYOUTS = ("matrix", "row", "row_column")


def steps_of(weight: Tensor, sensitivity: Sensitivity, cfg: QuantizeConfig) -> LogSteps:
    found: LogSteps = component(RULES, cfg.scale_rule).log_steps(weight, sensitivity, cfg)
    return found


def randoms(seed: int, rows: int, columns: int) -> tuple[Tensor, Sensitivity]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    positive = torch.rand(2 * rows + columns, generator=generator) + 0.1
    sensitivity = Sensitivity(
        role=Role.TABLE,
        outputs=positive[:rows],
        inputs=positive[rows : rows + columns],
        lookups=positive[rows + columns :],
    )
    return weight, sensitivity


def oracle(weight: Tensor, sensitivity: Sensitivity, p: float, layout: str) -> list[list[float]]:
    """log2 of every step of the rule slope in float64, element by element, from its definition."""
    W = weight.double().tolist()
    rows, columns = len(W), len(W[0])
    G, V, L = (t.double().tolist() for t in (sensitivity.outputs, sensitivity.inputs, sensitivity.lookups) if t is not None)
    row_rms = [math.sqrt(sum(w * w for w in row) / columns) for row in W]
    column_rms = [math.sqrt(sum(W[r][c] ** 2 for r in range(rows)) / rows) for c in range(columns)]
    arithmetic, geometric = sum(V) / columns, math.exp(sum(map(math.log, V)) / columns)
    cost = [G[r] * (geometric if layout == "row_column" else arithmetic) + L[r] for r in range(rows)]
    if layout == "matrix":
        cost = [sum(cost) / rows] * rows
        row_rms = [math.sqrt(sum(s * s for s in row_rms) / rows)] * rows
    log_R = [-p / 2 * math.log2(cost[r]) + (1 - p) * math.log2(row_rms[r]) for r in range(rows)]
    log_C = [0.0] * columns
    if layout == "row_column":
        log_C = [-p / 2 * math.log2(V[c]) + (1 - p) * math.log2(column_rms[c]) for c in range(columns)]
        mean = sum(log_C) / columns
        log_C = [one - mean for one in log_C]
    return [[log_R[r] + log_C[c] for c in range(columns)] for r in range(rows)]


def test_equal_slope_by_hand() -> None:
    weight = torch.tensor([[3.0, -3.0], [12.0, 12.0]])
    sensitivity = Sensitivity(role=Role.MLP, outputs=torch.tensor([1.0, 4.0]), inputs=torch.tensor([2.0, 8.0]))
    found = steps_of(weight, sensitivity, replace(CFG, slope_exponent=1.0))
    # geometric mean of 2 and 8 is 4: row costs 4 and 16 give steps 1/2 and 1/4; columns 1/2 and 2 of it give sqrt(2), 1/sqrt(2)
    assert found.rows.tolist() == pytest.approx([-1.0, -2.0])
    assert found.columns.tolist() == pytest.approx([0.5, -0.5])
    spread_only = steps_of(weight, sensitivity, replace(CFG, slope_exponent=0.0, step_layout="row"))
    assert spread_only.rows.tolist() == pytest.approx([math.log2(3), math.log2(12)])
    whole = steps_of(weight, sensitivity, replace(CFG, slope_exponent=1.0, step_layout="matrix"))
    assert whole.rows.tolist() == pytest.approx([-0.5 * math.log2(12.5)] * 2)  # mean of 1 and 4 times mean of 2 and 8


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("p", [0.0, 0.5, 0.75, 1.0])
def test_slope_equals_a_float64_oracle(layout: str, p: float) -> None:
    weight, sensitivity = randoms(3, 7, 5)
    cfg = QuantizeConfig(slope_exponent=p, step_layout=layout)  # type: ignore[arg-type]
    found = steps_of(weight, sensitivity, cfg)
    together = found.rows[:, None] + found.columns[None]
    expected = torch.tensor(oracle(weight, sensitivity, p, layout), dtype=torch.float32)
    assert torch.allclose(together, expected, atol=2e-6)  # a few roundings of float32 at magnitudes of 1


def test_percentile_by_hand_with_and_without_the_floor() -> None:
    weight = torch.tensor([[0.31, -0.155], [6.2, 3.1]])
    nothing = Sensitivity(role=Role.MLP)
    free = steps_of(weight, nothing, replace(CFG, scale_rule="percentile"))
    assert free.rows.exp2().tolist() == pytest.approx([0.01, 0.2])
    floor = steps_of(weight, nothing, replace(CFG, scale_rule="percentile", scale_floor=True, floor_clip=0.62))
    assert floor.rows.exp2().tolist() == pytest.approx([0.02, 0.2])
    assert free.columns.eq(0).all() and floor.columns.eq(0).all()


def test_percentile_takes_the_largest_of_its_percentiles() -> None:
    weight = torch.arange(1, 102, dtype=torch.float32)[None]
    cfg = replace(CFG, scale_rule="percentile", clip_percentiles=(0.25, 0.5))
    assert steps_of(weight, Sensitivity(role=Role.MLP), cfg).rows.exp2().tolist() == pytest.approx([51 / 31])


@pytest.mark.parametrize(("role", "step"), [(Role.ATTENTION, 13 / 31), (Role.MLP, 12 / 31), (Role.TABLE, 20 / 127)])
def test_sdclip_is_the_roles_number_of_deviations_over_its_largest_code(role: Role, step: float) -> None:
    weight = torch.tensor([[1.0, -1.0, 1.0, -1.0], [0.5, 0.5, -0.5, 0.5]])
    found = steps_of(weight, Sensitivity(role=role), replace(CFG, scale_rule="sdclip"))
    assert found.rows.exp2().tolist() == pytest.approx([step, step / 2])


@pytest.mark.parametrize("rule", ["percentile", "sdclip"])
def test_one_step_a_matrix_is_the_rows_geometric_mean(rule: str) -> None:
    weight = torch.tensor([[1.0, -1.0], [4.0, 4.0]])
    cfg = replace(CFG, scale_rule=rule, step_layout="matrix")
    by_row = steps_of(weight, Sensitivity(role=Role.MLP), replace(cfg, step_layout="row"))
    assert steps_of(weight, Sensitivity(role=Role.MLP), cfg).rows.tolist() == pytest.approx([float(by_row.rows.mean())] * 2)


@settings(max_examples=25, deadline=None)
@given(
    rule=st.sampled_from(available(RULES)),
    layout=st.sampled_from(LAYOUTS),
    p=st.sampled_from([0.0, 0.5, 0.75, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_scaling_weights_and_costs_moves_all_steps_together(rule: str, layout: str, p: float, seed: int) -> None:
    weight, sensitivity = randoms(seed, 6, 9)
    cfg = QuantizeConfig(scale_rule=rule, step_layout=layout, slope_exponent=p)  # type: ignore[arg-type]
    before = steps_of(weight, sensitivity, cfg)
    assert sensitivity.outputs is not None and sensitivity.lookups is not None
    dearer = replace(sensitivity, outputs=4 * sensitivity.outputs, lookups=4 * sensitivity.lookups)
    after = steps_of(weight * 8, dearer, cfg)
    shift = -p + 3 * (1 - p) if rule == "slope" else 3.0
    assert torch.allclose(after.rows - before.rows, torch.full((6,), shift), atol=1e-5)
    assert torch.allclose(after.columns, before.columns, atol=1e-5)
    assert abs(float(before.columns.mean())) < 1e-6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.sampled_from([0.5, 0.75, 1.0]))
def test_a_row_that_costs_more_never_gets_a_coarser_step(seed: int, p: float) -> None:
    weight, sensitivity = randoms(seed, 8, 5)
    weight = weight / spread(weight)[:, None]
    found = steps_of(weight, sensitivity, replace(CFG, slope_exponent=p, step_layout="row"))
    cost_R = sensitivity.rows(8, own_columns=False)
    assert torch.equal(torch.argsort(cost_R, descending=True), torch.argsort(found.rows))


@pytest.mark.parametrize("rule", available(RULES))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_but_zeros_still_gives_finite_steps(rule: str, layout: str) -> None:
    cfg = QuantizeConfig(scale_rule=rule, step_layout=layout)  # type: ignore[arg-type]
    zeros = Sensitivity(role=Role.TABLE, outputs=torch.zeros(3), inputs=torch.zeros(4), lookups=torch.zeros(3))
    for sensitivity in (zeros, Sensitivity(role=Role.TABLE)):
        for weight in (torch.zeros(3, 4), torch.eye(3, 4) * torch.tensor([[1.0], [0.0], [1e-30]])):
            found = steps_of(weight, sensitivity, cfg)
            assert torch.isfinite(found.rows).all() and torch.isfinite(found.columns).all()


def test_costs_are_floored_at_a_share_of_their_mean() -> None:
    assert floored(torch.tensor([0.0, 4.0])).tolist() == pytest.approx([2 * FLOOR_FRAC, 4.0])
    assert floored(torch.zeros(2)).tolist() == [1.0, 1.0]
    only_lookups = Sensitivity(role=Role.TABLE, lookups=torch.tensor([0.0, 2.0]))
    assert only_lookups.rows(2, own_columns=True).tolist() == pytest.approx([FLOOR_FRAC, 2.0])
    assert only_lookups.columns(3).tolist() == [1.0] * 3


def test_spread_is_the_root_mean_square_and_a_row_of_zeros_takes_the_matrixs() -> None:
    assert spread(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == pytest.approx([math.sqrt(12.5), 2.5])
    assert spread(torch.zeros(2, 3)).tolist() == [1.0, 1.0]
