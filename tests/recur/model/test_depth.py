"""Skips whose turn comes after the split into lanes: into the attention lane, or dead as in the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor

from recur.config import ModelConfig
from recur.model.attention import norm
from recur.model.build import build_model
from recur.model.depth import BlockLike, DepthPlan, Lanes, depth_plan
from recur.model.gpt import GPT

SMALL = ModelConfig(
    vocab_size=32, layers=6, width=16, embedding_width=16, heads=2, kv_heads=1, mlp_mult=2.0, train_seq_len=8, rope_dims=4,
    xsa_last_layers=6, value_embedding_layers=(), recurrent_layers=(1, 2), parallel_from_layer=3, dead_skips=False,
)  # fmt: skip
IDS = torch.arange(16).view(2, 8) % 32


def random_model(cfg: ModelConfig) -> GPT:
    model = build_model(cfg, seed=0, precision="fp32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model


def popped(plan: DepthPlan) -> list[tuple[int, int | None]]:
    return [(s.skip_row, s.skip_from) for s in plan.decoder if s.skip_row is not None]


def without_effect(plan: DepthPlan) -> list[int]:
    return [s.skip_row for s in plan.decoder if s.skip_row is not None and not s.skip_has_effect]


@pytest.mark.parametrize("recurrence", [False, True])
def test_every_skip_that_is_popped_has_an_effect(recurrence: bool) -> None:
    ours, theirs = ModelConfig(), ModelConfig(dead_skips=True)
    plan, reference = depth_plan(ours, recurrence=recurrence), depth_plan(theirs, recurrence=recurrence)
    assert popped(plan) == popped(reference)
    assert without_effect(plan) == []
    assert without_effect(reference) == ([4] if recurrence else [3, 4])


def by_hand(model: GPT, *, dead: bool) -> Tensor:
    """Six layers without recurrence, lanes from 3: outputs 2, 1, 0 are popped before layers 3, 4, 5."""
    x0 = norm(model.tok_emb(IDS))
    rotation, outputs, x = model.rotary(IDS.size(1)), [], x0
    blocks = [cast(BlockLike, block) for block in model.blocks]
    for layer in range(3):
        x = blocks[layer](x, x0, None, rotation)
        outputs.append(x)

    def blend(stream: Tensor, row: int) -> Tensor:
        scaled: Tensor = model.get_parameter("skip_weights")[row] * outputs[2 - row]
        gate = torch.sigmoid(model.get_parameter("skip_gates")[row])
        return scaled + gate * (stream - scaled)

    x = blend(x, 0)
    lanes = Lanes(attention=x, mlp=x)
    for row, layer in ((None, 3), (1, 4), (2, 5)):
        if row is not None and not dead:
            lanes = Lanes(attention=blend(lanes.attention, row), mlp=lanes.mlp)
        lanes = blocks[layer].lanes(lanes, x0, None, rotation)
    return model.lane_merge * lanes.attention + (1 - model.lane_merge) * lanes.mlp


@pytest.mark.parametrize("dead", [False, True])
def test_the_features_are_those_of_the_plan_by_hand(dead: bool) -> None:
    model = random_model(replace(SMALL, dead_skips=dead)).double()
    mine, hand = model.features(IDS), by_hand(model, dead=dead)
    assert torch.allclose(mine, hand, rtol=0, atol=1e-12)  # float64, the same operations
    assert not torch.allclose(mine, by_hand(model, dead=not dead), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("dead", "recurrence", "trained"), [
    (False, False, [True, True, True]),
    (False, True, [True, True, True]),
    (True, False, [True, False, False]),
    (True, True, [True, True, False]),
])  # fmt: skip
def test_a_row_of_the_skip_weights_gets_a_gradient_where_its_skip_has_an_effect(
    dead: bool, recurrence: bool, trained: list[bool]
) -> None:
    model = random_model(replace(SMALL, dead_skips=dead))
    model.set_recurrence(recurrence)
    model.loss(IDS, IDS.flip(1)).backward()  # type: ignore[no-untyped-call]
    for name in ("skip_weights", "skip_gates"):
        grad = model.get_parameter(name).grad
        assert grad is not None
        assert [bool(row.any()) for row in grad] == trained


def test_without_lanes_no_skip_is_dead() -> None:
    cfg = replace(SMALL, parallel_from_layer=0)
    assert depth_plan(cfg, recurrence=True) == depth_plan(replace(cfg, dead_skips=True), recurrence=True)
    assert torch.equal(random_model(cfg)(IDS), random_model(replace(cfg, dead_skips=True))(IDS))


@pytest.mark.parametrize("recurrence", [False, True])
def test_no_position_sees_a_later_one_through_a_late_skip(recurrence: bool) -> None:
    model, changed = random_model(SMALL), IDS.clone()
    model.set_recurrence(recurrence)
    changed[:, 5:] = (changed[:, 5:] + 3) % 32
    assert torch.allclose(model(IDS)[:, :5], model(changed)[:, :5], atol=1e-5)
    assert not torch.allclose(model(IDS)[:, 5:], model(changed)[:, 5:], atol=1e-2)
