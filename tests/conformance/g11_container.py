"""Group 11: byte shuffle, compression, three complete artifacts, and one made end to end (REFERENCE 8-10)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from recur.artifact.coding import compress, decompress, shuffle, unshuffle
from recur.artifact.decode import decode_state
from recur.artifact.reference import payload_limit_bytes, read_container, write_container
from recur.config import ArtifactConfig
from recur.model.build import template_dtypes, template_shapes
from recur.quantize.fitting.prune import fit
from recur.quantize.hessian import collect_hessians, hessian_names
from recur.quantize.plan import assemble, plan_model, run_job
from recur.quantize.tensors import QuantizedModel
from recur.recipe import load_recipe
from tests.conformance.base import Case, Context, Vectors, exact, within
from tests.conformance.configs import model_config_from_golden
from tests.conformance.g09_hessians import golden_batches, golden_model

MISMATCH_FRAC = 0.01
"""Codes on a rounding boundary, per tensor: group 08's tolerance for GPTQ."""
SIZE_FRAC = 0.01
"""Own artifacts need not have the reference's compressed bytes; their size must be the same."""
LIMIT_BYTES = 64 << 20


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All of group 11."""
    del context
    cases = [*_shuffle(vectors.info.get("byte_shuffle", {})), *_compress(vectors.info.get("compress_cases", []))]
    made = _quantized(vectors)
    for name, facts in vectors.info["artifacts"].items():
        cfg = _config(facts)
        golden = read_container(
            (vectors.folder / facts["file"]).read_bytes(), compressor=cfg.compressor, max_bytes=payload_limit_bytes(cfg)
        )
        cases.extend(_read(name, golden, facts))
        cases.extend(_decoded(name, golden, vectors, facts))
        cases.extend(_written(name, golden, facts, cfg))
        cases.extend(_made(name, made, golden, facts, cfg))
    return cases


def _config(facts: dict[str, Any]) -> ArtifactConfig:
    base = replace(load_recipe("record_1421").artifact, compressor=facts["compressor"])
    if "target_bytes" not in facts:
        return base
    return replace(base, cap_bytes=facts["target_bytes"], code_bytes=facts["code_bytes"])


def _shuffle(facts: dict[str, Any]) -> Iterator[Case]:
    for case in facts.get("shuffle_cases", []):
        name = f"shuffle {case['stride']} {case['input'][:24]}"
        out = shuffle(bytes.fromhex(case["input"]), case["stride"])
        yield exact(name, out.hex(), case["output"])
        yield exact(f"un{name}", unshuffle(out).hex(), case["unshuffled"])
        yield exact(f"{name} round trip", unshuffle(out).hex() == case["input"], case["roundtrip_ok"])
    for case in facts.get("unshuffle_cases", []):
        yield exact(f"unshuffle {case['input'][:24]}", unshuffle(bytes.fromhex(case["input"])).hex(), case["output"])


def _compress(cases: list[dict[str, Any]]) -> Iterator[Case]:
    for case in cases:
        name = f"{case['compressor']} shuffle={case['byte_shuffle']} {case['input_len']} bytes"
        data = None if case["input_hex"] is None else bytes.fromhex(case["input_hex"])
        if case["compressed_hex"] is not None:
            data = decompress(bytes.fromhex(case["compressed_hex"]), case["compressor"], max_bytes=LIMIT_BYTES)
            yield exact(f"read {name}", hashlib.sha256(data).hexdigest(), case["input_sha256"])
        if data is not None:
            blob = compress(data, case["compressor"], stride=2 if case["byte_shuffle"] else 0)
            yield exact(f"write {name}", decompress(blob, case["compressor"], max_bytes=LIMIT_BYTES) == data, True)
            yield within(f"size {name}", len(blob), case["compressed_len"], absolute=8, relative_to_max=SIZE_FRAC)


def _read(name: str, golden: QuantizedModel, facts: dict[str, Any]) -> Iterator[Case]:
    yield exact(f"{name} entry order", list(golden.entries), list(facts["entries"]))
    yield exact(f"{name} meta", [f"{k}={v}" for k, v in golden.meta.items()], [f"{k}={v}" for k, v in facts["meta"].items()])
    for key, entry in facts["entries"].items():
        yield exact(f"{name} {key}", _describe(golden.entries[key]), [entry["dtype"], str(entry["shape"]), entry["sha256"]])


def _decoded(name: str, golden: QuantizedModel, vectors: Vectors, facts: dict[str, Any]) -> Iterator[Case]:
    config = model_config_from_golden(vectors.info["config"])
    dtypes = template_dtypes(config, "bf16")
    yield exact(f"{name} types", [_type(d) for d in dtypes.values()], [facts["decoded_dtypes"][k] for k in dtypes])
    state = decode_state(golden, dtypes, template_shapes(config))
    yield exact(f"{name} decoded order", list(state), list(facts["decoded_sha256_fp32"]))
    for key, digest in facts["decoded_sha256_fp32"].items():
        yield exact(f"{name} decoded {key}", _sha256(state[key].float()), digest)


def _written(name: str, golden: QuantizedModel, facts: dict[str, Any], cfg: ArtifactConfig) -> Iterator[Case]:
    blob = write_container(golden, cfg)
    again = read_container(blob, compressor=cfg.compressor, max_bytes=payload_limit_bytes(cfg))
    yield exact(f"{name} rewritten", _same(again, golden), True)
    yield within(f"{name} size", len(blob), facts["compressed_bytes"], relative_to_max=SIZE_FRAC)


def _quantized(vectors: Vectors) -> QuantizedModel:
    """Calibrate and quantize the group's parameters with the faithful options."""
    cfg = load_recipe("record_1421").quantize
    cfg = replace(cfg, passthrough_numel=vectors.info["threshold_numel_lowered_to"])
    model = golden_model(vectors)
    model.set_recurrence(vectors.info["recurrence_active_during_calibration"])
    state = model.state_dict()
    hessians = collect_hessians(
        model,
        golden_batches(vectors.arrays["calibration_input_ids"]),
        count=vectors.info["n_calibration_batches"],
        names=hessian_names({k: v.shape for k, v in state.items()}, cfg),
        device="cpu",
    ).mean()
    return assemble(run_job(j, state[j.parameter], hessians.get(j.parameter), cfg) for j in plan_model(state, cfg))


def _made(name: str, made: QuantizedModel, golden: QuantizedModel, facts: dict[str, Any], cfg: ArtifactConfig) -> Iterator[Case]:
    """The whole way: our calibration, codes, pruning and container against the reference's file."""
    result = fit(made, cfg, write_container)
    mine = read_container(result.blob, compressor=cfg.compressor, max_bytes=payload_limit_bytes(cfg))
    yield exact(f"{name} made entries", list(mine.entries), list(golden.entries))
    yield exact(f"{name} made meta", list(mine.meta.items()) == list(golden.meta.items()), True)
    yield within(f"{name} made size", len(result.blob), facts["compressed_bytes"], relative_to_max=SIZE_FRAC)
    for key, tensor in golden.entries.items():
        differing_frac = float((mine.entries[key] != tensor).double().mean())
        tolerance = MISMATCH_FRAC if key.endswith(".q") else 0.0
        yield Case(f"{name} made {key}", differing_frac, tolerance)
    for key, count in facts.get("entries_changed_by_pruning", {}).items():
        changed = int((result.model.entries[key] != made.entries[key]).sum())
        yield within(f"{name} pruned in {key}", changed, count, absolute=1 + MISMATCH_FRAC * count)


def _same(a: QuantizedModel, b: QuantizedModel) -> bool:
    equal = all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a.entries.values(), b.entries.values(), strict=True))
    return list(a.entries) == list(b.entries) and list(a.meta.items()) == list(b.meta.items()) and equal


def _describe(tensor: Tensor) -> list[str]:
    return [_type(tensor.dtype), str(list(tensor.shape)), _sha256(tensor)]


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
