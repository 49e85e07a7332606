"""Group 01: forward and backward of the whole graph, the norm's eps, the rotary tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.model.attention import Rotary, norm
from recur.model.gpt import GPT
from tests.conformance.base import Array, Case, Context, Vectors, exact, rel_l2, within
from tests.conformance.configs import model_config_from_golden

LOGITS, LOGITS_REL, LOSS, INTERMEDIATE = 2e-4, 1e-5, 2e-5, 1e-4
GRAD_REL, GRAD_ABS = 1e-4, 5e-6


def model_from(vectors: Vectors) -> GPT:
    """A float32 model holding the group's ``param/*``."""
    model = GPT(model_config_from_golden(vectors.info["config"]))
    shapes = {name: t.shape for name, t in model.state_dict().items()}
    stored = vectors.below("param/")
    model.load_state_dict({name: torch.tensor(stored[name]).reshape(shapes[name]) for name in stored})
    return model


def check(vectors: Vectors, context: Context) -> list[Case]:
    model = model_from(vectors)
    cases = [exact("param_order", list(model.state_dict()), vectors.info["param_order"])]
    for name, info in vectors.info["cases"].items():
        model.set_recurrence(bool(info["recurrence_active"]))
        ntk = name.endswith("_ntk")
        cases += _ntk(model, vectors, name, info) if ntk else _forward_backward(model, vectors, name, info)
    return cases + _norm(vectors) + _rotary(vectors)


def _ids(vectors: Vectors, prefix: str) -> tuple[Tensor, Tensor]:
    return tuple(torch.tensor(vectors.arrays[prefix + key]).long() for key in ("input_ids", "target_ids"))  # type: ignore[return-value]


def _record(model: GPT) -> tuple[dict[str, list[Tensor]], list[Any]]:
    seen: dict[str, list[Tensor]] = {"attn_out": [], "mlp_out": []}
    handles: list[Any] = []
    for block in model.blocks:
        for kind, part in (("attn_out", block.attn), ("mlp_out", block.mlp)):
            assert isinstance(part, nn.Module)
            handles.append(part.register_forward_hook(lambda _m, _a, out, kind=kind: seen[kind].append(out.detach())))
    return seen, handles


def _forward_backward(model: GPT, vectors: Vectors, name: str, info: dict[str, Any]) -> list[Case]:
    ids, targets = _ids(vectors, "")
    seen, handles = _record(model)
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        features = model.features(ids)
    for handle in handles:
        handle.remove()
    logits = model(ids)
    loss = model.loss(ids, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    cases = [
        exact(f"{name}/virtual_layers", model.plans[model.recurrence_active].virtual_layers, info["virtual_layers"]),
        within(f"{name}/logits", logits.detach(), vectors.arrays[f"{name}/logits"], absolute=LOGITS),
        rel_l2(f"{name}/logits rel", logits.detach(), vectors.arrays[f"{name}/logits"], LOGITS_REL),
        within(f"{name}/loss", loss.item(), info["loss"], absolute=LOSS),
        within(f"{name}/final_norm_input", features, vectors.arrays[f"{name}/final_norm_input"], absolute=INTERMEDIATE),
    ]
    for kind, outputs in seen.items():
        for index, out in enumerate(outputs):
            cases.append(
                within(f"{name}/{kind}/{index}", out, vectors.arrays[f"{name}/{kind}/{index:02d}"], absolute=INTERMEDIATE)
            )
    return cases + _gradients(model, vectors.below(f"{name}/grad/"), name) + _zero_rows(model, name, info)


def _gradients(model: GPT, golden: dict[str, Array], case: str) -> list[Case]:
    cases = []
    for name, parameter in model.named_parameters():
        mine = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        want = golden[name].reshape(mine.shape) if name in golden else np.zeros(tuple(mine.shape))
        cases.append(within(f"{case}/grad/{name}", mine, want, absolute=GRAD_ABS, relative_to_max=GRAD_REL))
    return cases


def _zero_rows(model: GPT, case: str, info: dict[str, Any]) -> list[Case]:
    cases = []
    for name, rows in info.get("zero_grad_rows", {}).items():
        grad = model.get_parameter(name).grad
        zero = [] if grad is None else [i for i, row in enumerate(grad) if not row.any()]
        cases.append(exact(f"{case}/zero rows {name}", zero, rows))
    return cases


def _ntk(model: GPT, vectors: Vectors, name: str, info: dict[str, Any]) -> list[Case]:
    ids, targets = _ids(vectors, "ntk_")
    model.zero_grad(set_to_none=True)
    loss = model.loss(ids, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    cases = [
        within(f"{name}/logits", model(ids).detach(), vectors.arrays[f"{name}/logits"], absolute=LOGITS),
        within(f"{name}/loss", loss.item(), info["loss"], absolute=LOSS),
    ]
    for parameter, size in info.get("grad_norm_per_param", {}).items():
        grad = model.get_parameter(parameter).grad
        mine = 0.0 if grad is None else grad.norm().item()
        cases.append(within(f"{name}/grad norm {parameter}", mine, size or 0.0, absolute=GRAD_ABS, relative_to_max=GRAD_REL))
    return cases


def _norm(vectors: Vectors) -> list[Case]:
    if "norm/input" not in vectors.arrays:
        return []
    cases = [
        within(
            "norm fp32",
            norm(torch.tensor(vectors.arrays["norm/input"])),
            vectors.arrays["norm/output_fp32"],
            absolute=1e-6,
        )
    ]
    if "norm/input_bf16" in vectors.arrays:
        mine = norm(torch.tensor(vectors.arrays["norm/input_bf16"]).bfloat16())
        golden = torch.tensor(vectors.arrays["norm/output_bf16"]).bfloat16()
        ulps = (mine.view(torch.int16).int() - golden.view(torch.int16).int()).abs().max()
        cases.append(Case("norm bf16 ulps", float(ulps), 1.0))
    return cases


def _rotary(vectors: Vectors) -> list[Case]:
    golden = vectors.below("rotary_record/")
    if not golden:
        return []
    cfg = _rotary_config(golden, vectors.info)
    table = Rotary(cfg)
    positions = golden["positions"].astype(int)
    rotation = table(int(positions.max()) + 1) if positions.max() < cfg.train_seq_len else table(cfg.train_seq_len)
    cases = [
        within("rotary inv_freq", table.inv_freq, golden["inv_freq_fp32"], absolute=1e-6),
        exact("rotary bf16 inv_freq", table.inv_freq.bfloat16().float(), golden["inv_freq_after_bfloat16_cast"]),
        within("rotary cos", rotation.cos[positions], golden["cos_fp32"], absolute=2e-4),
        within("rotary sin", rotation.sin[positions], golden["sin_fp32"], absolute=2e-4),
    ]
    if "ntk_seq_len" in golden:
        longer = table(int(golden["ntk_seq_len"]))
        cases.append(within("rotary ntk cos", longer.cos[positions], golden["ntk_cos_fp32"], absolute=4e-4))
        cases.append(within("rotary ntk sin", longer.sin[positions], golden["ntk_sin_fp32"], absolute=4e-4))
    return cases


def _rotary_config(golden: dict[str, Array], info: dict[str, Any]) -> ModelConfig:
    facts = info.get("rotary_record", {})
    return ModelConfig(
        rope_dims=2 * golden["inv_freq_fp32"].size,
        rope_base=facts.get("base", 10000.0),
        train_seq_len=facts.get("train_seq_len", 2048),
    )
