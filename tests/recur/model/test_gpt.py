"""Depth plan, initial function, causality, precision policy of the whole network."""

from __future__ import annotations

import pytest
import torch

from recur.config import ModelConfig
from recur.model.build import build_model, is_control, template_dtypes, template_shapes
from recur.model.depth import depth_plan, virtual_layers
from recur.model.gpt import GPT
from tests.recipes import tiny_recipe

RECORD = ModelConfig(dead_skips=True)


def randomised(cfg: ModelConfig) -> GPT:
    model = build_model(cfg, seed=0, precision="fp32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model


def test_recurrence_visits_the_listed_layers_twice() -> None:
    assert virtual_layers(RECORD, recurrence=True) == (0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 10)
    assert virtual_layers(RECORD, recurrence=False) == tuple(range(11))
    assert virtual_layers(ModelConfig(recurrent_layers=(3, 4, 5)), recurrence=True)[:9] == (0, 1, 2, 3, 4, 5, 3, 4, 5)


def test_skips_behind_the_lane_split_have_no_effect() -> None:
    dead = [s.skip_row for s in depth_plan(RECORD, recurrence=False).decoder if s.skip_row is not None and not s.skip_has_effect]
    assert dead == [3, 4]
    dead = [s.skip_row for s in depth_plan(RECORD, recurrence=True).decoder if s.skip_row is not None and not s.skip_has_effect]
    assert dead == [4]


def test_every_encoder_output_is_popped_last_in_first_out() -> None:
    plan = depth_plan(RECORD, recurrence=True)
    assert [s.skip_from for s in plan.decoder if s.skip_row is not None] == [5, 4, 3, 2, 1]


def test_parameter_count_of_the_record_shape() -> None:
    shapes = template_shapes(RECORD)
    assert (len(shapes), sum(torch.Size(s).numel() for s in shapes.values())) == (119, 34_401_372)


def test_at_initialisation_every_block_is_the_identity() -> None:
    cfg = tiny_recipe().model
    model = build_model(cfg, seed=3, precision="fp32")
    ids = torch.randint(cfg.vocab_size, (2, 16))
    x = torch.nn.functional.rms_norm(model.tok_emb(ids), (cfg.width,), eps=2.0**-23)
    assert torch.allclose(model.features(ids), x, atol=1e-6)


@pytest.mark.parametrize("recurrence", [False, True])
def test_no_position_sees_a_later_one(recurrence: bool) -> None:
    model = randomised(tiny_recipe().model)
    model.set_recurrence(recurrence)
    ids = torch.randint(512, (1, 24))
    changed = ids.clone()
    changed[:, 13:] = (changed[:, 13:] + 7) % 512
    assert torch.allclose(model(ids)[:, :13], model(changed)[:, :13], atol=1e-5)


@pytest.mark.parametrize("recurrence", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.dead_skips=false",),
        ("model.parallel_from_layer=0",),
        ("model.parallel_from_layer=4", "model.value_embedding_layers=[]"),
        ("model.xsa_last_layers=0", "model.embedding_width=16", "optim.frozen_projections=true"),
    ],
)
def test_scores_of_the_last_positions_alone_are_those_of_all(recurrence: bool, overrides: tuple[str, ...]) -> None:
    model = randomised(tiny_recipe(*overrides).model)
    model.set_recurrence(recurrence)
    ids, targets = torch.randint(512, (3, 24)), torch.randint(512, (3, 24))
    whole = model.score(ids, targets)
    for first in (1, 16, 23):
        some = model.score(ids, targets, first)
        assert some.shape == (3, 24 - first) and torch.allclose(some, whole[:, first:], atol=1e-5)


def test_loss_is_the_mean_of_the_scores() -> None:
    model = randomised(tiny_recipe().model)
    ids, targets = torch.randint(512, (2, 16)), torch.randint(512, (2, 16))
    assert torch.allclose(model.score(ids, targets).mean(), model.loss(ids, targets), atol=1e-6)


def test_recurrence_changes_the_function_and_can_be_taken_back() -> None:
    model = randomised(tiny_recipe().model)
    ids = torch.randint(512, (1, 16))
    before = model(ids)
    model.set_recurrence(True)
    assert not torch.allclose(before, model(ids))
    model.set_recurrence(False)
    assert torch.equal(before, model(ids))


def test_seed_decides_the_weights_and_nothing_else_does() -> None:
    cfg = tiny_recipe().model
    a, b, c = (build_model(cfg, seed=s, precision="fp32").state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a["tok_emb.weight"], c["tok_emb.weight"])


def test_record_precision_keeps_only_the_tables_in_bf16() -> None:
    cfg = tiny_recipe().model
    model = build_model(cfg, seed=1, precision="bf16")
    narrow = [name for name, p in model.named_parameters() if p.dtype == torch.bfloat16]
    assert narrow == ["tok_emb.weight", "ve_shared.embed.weight"]
    assert template_dtypes(cfg, "bf16") == {name: t.dtype for name, t in model.state_dict().items()}
    weight = model.state_dict()["blocks.0.attn.c_q.weight"]
    assert torch.equal(weight, weight.bfloat16().float())


def test_control_tensors_are_told_by_name() -> None:
    assert is_control("blocks.3.attn.q_gain") and is_control("ve_shared.scale")
    assert not is_control("blocks.3.attn.c_q.weight")


def test_untied_head_and_other_embedding_width_work() -> None:
    cfg = tiny_recipe("model.tied_embeddings=false", "model.embedding_width=16").model
    model = build_model(cfg, seed=1, precision="fp32")
    ids = torch.randint(512, (1, 8))
    model.loss(ids, ids).backward()  # type: ignore[no-untyped-call]
    assert model(ids).shape == (1, 8, 512) and not model(ids).any()
