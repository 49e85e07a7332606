"""Jobs per tensor, and the model they make (REFERENCE 8.1, 10)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.errors import RecipeError, RecurError
from recur.quantize.plan import TensorJob, assemble, plan_model, run_job

CFG = replace(QuantizeConfig(), passthrough_numel=20)


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "skip_weights": torch.randn(5, 8, generator=generator),
        "lane_merge": torch.tensor(0.5),
        "tok_emb.weight": torch.randn(16, 8, generator=generator).bfloat16(),
        "blocks.0.attn.c_q.weight": torch.randn(8, 8, generator=generator),
        "blocks.0.mlp.bias_cube": torch.randn(3, 3, 3, generator=generator),
        "steps": torch.tensor([7]),
    }


def run(values: dict[str, Tensor], job: TensorJob, hessian: Tensor | None = None) -> dict[str, Tensor]:
    return run_job(job, values[job.parameter], hessian, CFG).entries


def test_results_in_any_order_make_the_model_in_state_dict_order() -> None:
    values = state()
    results = [run_job(job, values[job.parameter], None, CFG) for job in plan_model(values, CFG)]
    model = assemble(reversed(results))
    assert list(model.entries) == [
        "skip_weights",
        "lane_merge",
        "tok_emb.weight.q",
        "tok_emb.weight.scale",
        "blocks.0.attn.c_q.weight.q",
        "blocks.0.attn.c_q.weight.scale",
        "blocks.0.mlp.bias_cube.q",
        "blocks.0.mlp.bias_cube.scale",
        "steps",
    ]
    assert model.meta == {
        "skip_weights": "passthrough_ctrl",
        "lane_merge": "passthrough",
        "tok_emb.weight": {"type": "int8"},
        "blocks.0.attn.c_q.weight": {"type": "int6", "method": "clip_search"},
        "blocks.0.mlp.bias_cube": {"type": "int6"},
        "steps": "passthrough",
    }
    assert list(model.meta) == list(values)
    assert model.methods() == {"passthrough_ctrl": 1, "passthrough": 2, "int8": 1, "clip_search": 1, "int6": 1}


def test_jobs_have_names_for_people_and_say_what_they_need() -> None:
    jobs = {job.name: job for job in plan_model(state(), CFG)}
    assert jobs["blocks.0.attn.c_q"].needs_hessian
    assert not jobs["tok_emb"].needs_hessian
    assert jobs["blocks.0.attn.c_q"].flops > jobs["tok_emb"].flops


def test_stored_types_are_float16_float32_and_unchanged() -> None:
    values = state()
    jobs = {job.parameter: job for job in plan_model(values, CFG)}
    assert run(values, jobs["lane_merge"])["lane_merge"].dtype is torch.float16
    assert run(values, jobs["skip_weights"])["skip_weights"].dtype is torch.float32
    assert run(values, jobs["steps"])["steps"].dtype is torch.int64


def test_a_stored_tensor_is_a_copy_of_its_own() -> None:
    values = state()
    job = plan_model(values, CFG)[0]
    stored = run(values, job)["skip_weights"]
    values["skip_weights"].zero_()
    assert stored.abs().sum() > 0
    view = values["skip_weights"] = torch.ones(50, 8)[:5]
    assert run(values, job)["skip_weights"].untyped_storage().nbytes() == view.numel() * 4


def test_a_diverged_weight_is_refused_by_name() -> None:
    values = state()
    values["tok_emb.weight"][3, 3] = float("nan")
    job = plan_model(values, CFG)[2]
    with pytest.raises(RecurError, match=r"tok_emb\.weight holds NaN"):
        run(values, job)


def test_a_value_beyond_float16_is_refused_where_it_would_be_stored_so() -> None:
    values = {"lane_merge": torch.tensor(1e6)}
    with pytest.raises(RecurError, match=r"lane_merge holds values beyond torch\.float16"):
        run(values, plan_model(values, CFG)[0])


def test_the_matrix_component_is_chosen_by_name() -> None:
    values = state()
    job = plan_model(values, CFG)[3]
    H = torch.eye(8)
    assert run_job(job, values[job.parameter], H, CFG).meta == {"type": "int6", "method": "gptq"}
    plain = replace(CFG, matrix="clip_search")
    assert run_job(job, values[job.parameter], H, plain).meta == {"type": "int6"}
    with pytest.raises(RecipeError, match="clip_search, gptq"):
        run_job(job, values[job.parameter], H, replace(CFG, matrix="nothing"))
