"""Parameter groups, schedules, clipping and the moving average."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recur.model.build import build_model
from recur.optim.ema import Ema
from recur.optim.groups import assign
from recur.optim.matrix.muon import Muon
from recur.optim.optimizers import Optimizers
from recur.optim.schedule import lr_multiplier, muon_momentum
from recur.train.ranks import Ranks
from tests.recipes import tiny_recipe


def test_every_parameter_has_exactly_one_optimizer() -> None:
    for overrides in ((), ("model.embedding_width=16",), ("model.tied_embeddings=false",)):
        recipe = tiny_recipe(*overrides, "optim.frozen_projections=false")
        model = build_model(recipe.model, seed=0, precision="fp32")
        names = assign(model, recipe.optim)
        assert sorted(names.token + names.head + names.matrix + names.scalar) == sorted(n for n, _ in model.named_parameters())


def test_frozen_projections_is_the_reference_defect() -> None:
    recipe = tiny_recipe("model.embedding_width=16", "optim.frozen_projections=true")
    model = build_model(recipe.model, seed=0, precision="fp32")
    names = assign(model, recipe.optim)
    missing = {n for n, _ in model.named_parameters()} - {*names.token, *names.matrix, *names.scalar}
    assert missing == {"embed_proj.weight", "head_proj.weight"}


@given(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_multiplier_stays_between_its_floor_and_one(frac: float, warmdown: float, floor: float) -> None:
    value = lr_multiplier(frac, warmdown_frac=warmdown, min_frac=floor)
    assert floor - 1e-12 <= value <= 1 + 1e-9


def test_multiplier_and_momentum_by_hand() -> None:
    assert lr_multiplier(0.75, warmdown_frac=0.5, min_frac=0.1) == 0.5
    assert lr_multiplier(5.0, warmdown_frac=0.0, min_frac=0.1) == 1.0
    assert muon_momentum(5, start=0.8, final=1.0, warmup_steps=10) == pytest.approx(0.9)
    assert muon_momentum(0, start=0.8, final=0.95, warmup_steps=0) == 0.95


def test_clip_scales_the_global_norm() -> None:
    recipe = tiny_recipe("optim.grad_clip_norm=0.5")
    model = build_model(recipe.model, seed=0, precision="fp32")
    optimizers = Optimizers(model, recipe.optim, Ranks())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before = float(optimizers.average_and_clip())
    matrices = {id(p) for bank in cast(Muon, optimizers.matrix).banks for p in bank}
    shared = [p.grad for p in model.parameters() if p.grad is not None and id(p) not in matrices]
    grads = [*optimizers.matrix.gradients(), *shared]
    assert before > 100 and float(torch.stack([g.norm() for g in grads]).norm()) == pytest.approx(0.5, rel=1e-4)


def test_ema_by_hand_and_in_float32_for_narrow_weights() -> None:
    recipe = tiny_recipe()
    model = build_model(recipe.model, seed=0, precision="bf16")
    ema = Ema(model, 0.75)
    start = model.tok_emb.weight.detach().float().clone()
    with torch.no_grad():
        model.tok_emb.weight.add_(1.0)
    ema.update()
    want = 0.75 * start + 0.25 * model.tok_emb.weight.detach().float()
    got = ema.state()["tok_emb.weight"]
    assert got.dtype == torch.float32 and torch.allclose(got, want, rtol=0, atol=2.0**-23 * float(want.abs().max()))


def test_ema_leaves_weights_that_rest_exactly_as_they_are() -> None:
    model = build_model(tiny_recipe().model, seed=0, precision="fp32")
    ema = Ema(model, 0.9965)
    for _ in range(50):
        ema.update()
    assert all(torch.equal(ema.state()[name], t) for name, t in model.state_dict().items())


def test_optimizer_state_can_be_put_back_exactly() -> None:
    recipe = tiny_recipe()
    model = build_model(recipe.model, seed=0, precision="fp32")
    optimizers = Optimizers(model, recipe.optim, Ranks())
    saved, weights = optimizers.state_dict(), {k: v.clone() for k, v in model.state_dict().items()}

    def one_step() -> dict[str, torch.Tensor]:
        ids = torch.arange(64).view(2, 32)
        model.loss(ids, ids).backward()  # type: ignore[no-untyped-call]
        optimizers.step(multiplier=1.0, momentum=0.9)
        optimizers.zero_grad()
        return {k: v.clone() for k, v in model.state_dict().items()}

    first = one_step()
    model.load_state_dict(weights)
    optimizers.load_state_dict(saved)
    second = one_step()
    assert all(torch.equal(first[k], second[k]) for k in first)
