"""Group 02: every tensor of a full configuration: shape, dtype, optimizer, class, artifact entries, Hessian, initial values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.model.build import build_model, template_dtypes, template_shapes
from recur.model.gpt import GPT
from recur.optim.groups import assign
from recur.quantize.classes import TensorClass
from recur.quantize.hessian import hessian_names
from recur.quantize.plan import plan_model
from tests.conformance.base import Case, Context, Vectors, exact, within
from tests.conformance.configs import model_config_from_golden, optim_config_from_golden

GOLDEN_CLASS = {
    TensorClass.SMALL: "passthrough_fp16",
    TensorClass.CONTROL: "passthrough_ctrl_fp32",
    TensorClass.MATRIX: "int6_gptq",
    TensorClass.TABLE: "int8_per_row",
    TensorClass.BLOCK: "int6_per_tensor",
    TensorClass.RAW: "passthrough",
}


def check(vectors: Vectors, context: Context) -> list[Case]:
    info = vectors.info
    cfg = model_config_from_golden(info["config"])
    shapes, dtypes = template_shapes(cfg), template_dtypes(cfg, "bf16")
    tensors: list[dict[str, Any]] = info["tensors"]
    cases = [
        exact("names", list(shapes), [t["name"] for t in tensors]),
        exact("total_params", sum(torch.Size(s).numel() for s in shapes.values()), info["total_params"]),
        exact("state-dict entries", len(shapes), info["n_state_dict_keys"]),
    ]
    for t in tensors:
        cases.append(exact(f"shape {t['name']}", list(shapes[t["name"]]), t["shape"]))
        cases.append(exact(f"dtype {t['name']}", str(dtypes[t["name"]]).removeprefix("torch."), t["dtype_in_training"]))
    return cases + _optimizers(vectors) + _quantization(vectors, shapes) + _graph(vectors) + _initial(vectors)


def _optimizers(vectors: Vectors) -> list[Case]:
    with torch.device("meta"):
        model = GPT(model_config_from_golden(vectors.info["config"]))
    names = assign(model, optim_config_from_golden(vectors.info["config"]))
    order = vectors.info["optimizer_param_order"]
    groups = {"token_adamw": names.token, "muon": names.matrix, "scalar_adamw": names.scalar}
    cases = [exact(f"order {group}", list(mine), order[group]) for group, mine in groups.items()]
    numel = {name: p.numel() for name, p in model.named_parameters()}
    cases.append(exact("muon numel", sum(numel[n] for n in names.matrix), vectors.info["muon_numel"]))
    cases.append(exact("scalar numel", sum(numel[n] for n in names.scalar), vectors.info["scalar_numel"]))
    return cases


def _quantization(vectors: Vectors, shapes: dict[str, tuple[int, ...]]) -> list[Case]:
    cfg = QuantizeConfig(scale_floor=True, candidate_error="mse", unrounded_table_scale=True)
    calibrated = set(hessian_names(shapes, cfg))
    jobs = {job.parameter: job for job in plan_model({n: torch.empty(s, device="meta") for n, s in shapes.items()}, cfg)}
    cases = [exact("number of Hessians", len(calibrated), vectors.info["num_hessians"])]
    for t in vectors.info["tensors"]:
        name = t["name"]
        cases.append(exact(f"class {name}", GOLDEN_CLASS[jobs[name].kind], t["quant_class"]))
        cases.append(exact(f"entries {name}", _entries(name, shapes[name], jobs[name].kind), _golden_entries(t)))
        cases.append(exact(f"hessian {name}", name in calibrated, t["hessian_collected"]))
    return cases


def _entries(name: str, shape: tuple[int, ...], kind: TensorClass) -> list[str]:
    if kind is TensorClass.MATRIX or kind is TensorClass.TABLE:
        return [f"{name}.q int8 {list(shape)}", f"{name}.scale float16 {[shape[0]]}"]
    dtype = "float16" if kind is TensorClass.SMALL else "float32"
    return [f"{name} {dtype} {list(shape)}"]


def _golden_entries(tensor: dict[str, Any]) -> list[str]:
    return [f"{e['key']} {e['dtype']} {e['shape']}" for e in tensor["artifact_entries"]]


def _graph(vectors: Vectors) -> list[Case]:
    with torch.device("meta"):
        model = GPT(model_config_from_golden(vectors.info["config"]))
    cases: list[Case] = []
    for active, key in ((False, "graph_inactive"), (True, "graph_active")):
        plan, golden = model.plans[active], vectors.info[key]
        cases.append(exact(f"{key} virtual", plan.virtual_layers, golden["virtual_layers"]))
        cases.append(exact(f"{key} encoder", plan.encoder, golden["encoder"]))
        for step, want in zip(plan.decoder, golden["decoder"], strict=True):
            place = f"{key} decoder {want['decoder_pos']}"
            cases.append(exact(f"{place} layer", step.layer, want["physical_layer"]))
            mine = [-1 if v is None else v for v in (step.skip_row, step.skip_from)]
            theirs = [-1 if want[k] is None else want[k] for k in ("skip_weight_index", "skip_from_virtual_index")]
            cases.append(exact(f"{place} skip", mine, theirs))
            cases.append(exact(f"{place} effect", step.skip_has_effect, bool(want["skip_has_effect"])))
    return cases


def _initial(vectors: Vectors) -> list[Case]:
    cfg = model_config_from_golden(vectors.info["config"])
    seeds = sorted({s for t in vectors.info["tensors"] for s in t.get("init_stats_by_seed", {})}, key=int)
    cases: list[Case] = []
    for seed in seeds:
        state = build_model(cfg, seed=int(seed), precision="fp32").state_dict()
        for t in vectors.info["tensors"]:
            cases += _stats(t, state[t["name"]], seed)
    return cases


def _stats(entry: dict[str, Any], tensor: Tensor, seed: str) -> list[Case]:
    """1e-6 relative as the group says; orthogonal tensors also carry their QR back-end's rounding (see group 15)."""
    name, absolute = entry["name"], 5e-6 if "orthogonal" in entry["init"] else 1e-8
    golden: dict[str, float] = entry["init_stats_by_seed"][seed]
    wide = tensor.double()
    mine = {
        "mean": wide.mean().item(),
        "std": wide.std(unbiased=False).item() if wide.numel() > 1 else 0.0,
        "absmax": wide.abs().max().item(),
    }
    return [
        within(f"init seed {seed} {key} {name}", mine[key], value, absolute=absolute, relative_to_max=1e-6)
        for key, value in golden.items()
        if key in mine
    ]
