"""Group 08: int6 clip search, int8 tables, GPTQ, decoding, class dispatch (REFERENCE 8)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.artifact.decode import decode_state
from recur.config import QuantizeConfig
from recur.quantize.classes import category
from recur.quantize.matrix import gptq
from recur.quantize.plan import assemble, plan_model, run_job
from recur.quantize.rounding import clip_search, quantize_block, quantize_table
from recur.quantize.tensors import QuantizedModel, QuantizedTensor
from recur.recipe import load_recipe
from tests.conformance.base import Array, Case, Context, Vectors, exact, within

MISMATCH_FRAC = 0.01
ERROR_RATIO = 1.01
TABLE_MISMATCH_FRAC = 0.002


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All of group 08, with the faithful profile's options."""
    del context
    cfg = load_recipe("record_1421").quantize
    return [
        *_int6(vectors, cfg),
        *_int8(vectors, cfg),
        *_gptq(vectors, cfg),
        *_decoding(vectors),
        *_dispatch(vectors.info.get("dispatcher"), cfg),
    ]


def _int6(vectors: Vectors, cfg: QuantizeConfig) -> Iterator[Case]:
    for name, facts in vectors.info.get("int6_rowwise", {}).items():
        golden = vectors.below(f"int6/{name}/")
        W = torch.from_numpy(golden["w"])
        mine = clip_search(W, cfg, method=None) if W.ndim == 2 else quantize_block(W)
        yield exact(f"int6 {name} q", mine.q.numpy(), golden["q"])
        yield exact(f"int6 {name} scale", mine.scale.numpy(), golden["scale"])
        yield within(f"int6 {name} mse", _mse(W, mine), facts["mse"], relative_to_max=1e-5, absolute=1e-12)


def _int8(vectors: Vectors, cfg: QuantizeConfig) -> Iterator[Case]:
    for name, facts in vectors.info.get("int8", {}).items():
        golden = vectors.below(f"int8/{name}/")
        mine = quantize_table(torch.from_numpy(golden["w"]), cfg)
        off = np.abs(mine.q.numpy().astype(int) - golden["q"])
        yield Case(f"int8 {name} largest code difference", float(off.max()), 1.0)
        yield Case(f"int8 {name} differing codes", float((off > 0).mean()), TABLE_MISMATCH_FRAC)
        yield exact(f"int8 {name} scale type", str(mine.scale.dtype), facts["scale_dtype"])
        ulp = float(np.abs(np.spacing(golden["scale"])).max()) if golden["scale"].ndim else 0.0
        yield within(f"int8 {name} scale", mine.scale.numpy(), golden["scale"], absolute=ulp, relative_to_max=1e-6)


def _gptq(vectors: Vectors, cfg: QuantizeConfig) -> Iterator[Case]:
    for name, facts in vectors.info.get("gptq", {}).items():
        golden = vectors.below(f"gptq/{name}/")
        W, H = torch.from_numpy(golden["w"]), torch.from_numpy(golden["H"])
        mine = gptq.quantize_matrix(W, H, cfg)
        yield exact(f"gptq {name} scale", mine.scale.numpy(), golden["scale"])
        fallback = mine.meta["method"] == "clip_search"
        yield exact(f"gptq {name} fallback", fallback, facts["fallback_to_clip_search"])
        differing_frac = float((mine.q.numpy() != golden["q"]).mean())
        if differing_frac <= MISMATCH_FRAC:
            yield Case(f"gptq {name} differing codes", differing_frac, MISMATCH_FRAC)
        else:
            ratios = (_mse(W, mine) / facts["mse"], _hessian_error(W, H, mine) / facts["hessian_error"])
            yield Case(f"gptq {name} error ratio", max(ratios), ERROR_RATIO)


def _mse(W: Tensor, mine: QuantizedTensor) -> float:
    return float((W.double() - _decoded(mine)).square().mean())


def _hessian_error(W: Tensor, H: Tensor, mine: QuantizedTensor) -> float:
    D, W64, H64 = W.double() - _decoded(mine), W.double(), H.double()
    return float(((D @ H64) * D).sum() / ((W64 @ H64) * W64).sum())


def _decoded(mine: QuantizedTensor) -> Tensor:
    shapes, meta = {"x": tuple(mine.q.shape)}, {"x": dict(mine.meta)}
    model = QuantizedModel(entries={"x.q": mine.q, "x.scale": mine.scale}, meta={**meta})
    return decode_state(model, {"x": torch.float32}, shapes)["x"].double()


def _decoding(vectors: Vectors) -> Iterator[Case]:
    arrays = vectors.below("dequantize/")
    for parts, wanted, dtype in (
        (("q", "scale_fp16"), "fp32", torch.float32),
        (("q", "scale_fp16"), "bf16_as_fp32", torch.bfloat16),
        (("vec_q", "vec_scale"), "vec_fp32", torch.float32),
        (("pass_fp16",), "pass_to_fp32", torch.float32),
        (("pass2_fp16",), "pass2_to_bf16_as_fp32", torch.bfloat16),
    ):
        if wanted in arrays:
            yield exact(f"decode {wanted}", _decode([arrays[p] for p in parts], dtype), arrays[wanted])


def _decode(stored: list[Array], dtype: torch.dtype) -> Array:
    tensors = [torch.from_numpy(np.asarray(a)) for a in stored]
    if len(tensors) == 1:
        model = QuantizedModel(entries={"x": tensors[0]}, meta={"x": "passthrough"})
    else:
        model = QuantizedModel(entries={"x.q": tensors[0], "x.scale": tensors[1]}, meta={"x": {"type": "int6"}})
    decoded: Array = decode_state(model, {"x": dtype}, {"x": tuple(tensors[0].shape)})["x"].float().numpy()
    return decoded


def _formula_tensor(facts: dict[str, Any]) -> Tensor:
    """The dispatcher's inputs, as the group's json states them."""
    offset, count = facts["running_offset"], math.prod(facts["shape"])
    k = np.arange(offset, offset + count, dtype=np.uint64)
    units = ((k * np.uint64(2654435761)) >> np.uint64(9)) % np.uint64(2001)
    values = (units.astype(np.int64) - 1000).astype(np.float32) / np.float32(512)
    return torch.from_numpy(values.reshape(facts["shape"])).to(getattr(torch, facts["dtype"]))


def _dispatch(facts: dict[str, Any] | None, cfg: QuantizeConfig) -> Iterator[Case]:
    if facts is None:
        return
    state = {name: _formula_tensor(facts["tensors"][name]) for name in facts["order"]}
    # The vectors' GPTQ was replaced by the clip search; a Hessian of the identity gives the same: no error is fed back.
    hessians = {name: torch.eye(state[name].shape[1]) for name in facts["hessians_given_for"]}
    model = _quantize(state, hessians, cfg)
    yield exact("dispatch categories", [category(n) for n in state], [facts["tensors"][n]["category"] for n in state])
    yield exact("dispatch meta", _texts(model.meta), _texts({n: facts["tensors"][n]["meta_entry"] for n in state}))
    stored = {key: entry for name in state for key, entry in facts["tensors"][name]["stored"].items()}
    yield exact("dispatch entries", list(model.entries), list(stored))
    for key, entry in stored.items():
        yield exact(f"dispatch {key}", _describe(model.entries[key]), _texts(entry))
    without = _quantize(state, {}, replace(cfg, matrix="clip_search"))
    wanted = {n: facts["tensors"][n]["meta_entry_without_gptq"] for n in state}
    yield exact("dispatch meta without gptq", _texts(without.meta), _texts(wanted))
    counts = [int(n) for n in re.findall(r": (\d+) layers.*, (\d+) fallback", facts.get("log_line", ""))[0]]
    yield exact("dispatch counts", [model.methods().get(m, 0) for m in ("gptq", "clip_search")], counts)


def _quantize(state: dict[str, Tensor], hessians: dict[str, Tensor], cfg: QuantizeConfig) -> QuantizedModel:
    jobs = plan_model(state, cfg)
    return assemble(run_job(j, state[j.parameter], hessians.get(j.parameter), cfg) for j in reversed(jobs))


def _describe(tensor: Tensor) -> list[str]:
    digest = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
    return _texts({"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "sha256": digest})


def _texts(values: dict[str, Any]) -> list[str]:
    return [f"{k}={v}" for k, v in values.items()]
