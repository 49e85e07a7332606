"""The faithful side: the reference's quantizer and pruning, with its floor's step set to the reference run's coarseness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from benchmarks.lab.checkpoint import Checkpoint
from recur.artifact.reference import write_container
from recur.config import ArtifactConfig, QuantizeConfig
from recur.quantize.fitting.prune import fit
from recur.quantize.plan import assemble, plan_model, run_job
from recur.quantize.scales import INT6_LIMIT
from recur.quantize.tensors import CODES, QuantizedModel

ONES_SHARE = 0.296
"""Share of int6 codes that are +-1 in the reference run: 9,399,054 of 31,719,424 (TECHNIQUES 0)."""
FLOOR_SEARCH = 6


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A quantized model under a name, its size and what made it."""

    name: str
    side: str
    model: QuantizedModel
    total_bytes: int
    cap_bytes: int
    notes: Mapping[str, object]


def reference_config(checkpoint: Checkpoint, floor_clip: float) -> QuantizeConfig:
    """The reference's quantizer with its defects, its floor at ``floor_clip / 31``."""
    return replace(
        checkpoint.recipe.quantize,
        matrix="gptq",
        scale_floor=True,
        floor_clip=floor_clip,
        candidate_error="mse",
        unrounded_table_scale=True,
    )


def quantize(checkpoint: Checkpoint, floor_clip: float) -> QuantizedModel:
    """GPTQ int6 matrices and int8 tables."""
    cfg = reference_config(checkpoint, floor_clip)
    trained = checkpoint.trained
    hessians = trained.hessians.mean()
    jobs = plan_model(trained.ema, cfg)
    return assemble(
        run_job(job, trained.ema[job.parameter], hessians.get(job.parameter) if job.needs_hessian else None, cfg) for job in jobs
    )


def ones_share(model: QuantizedModel) -> float:
    """Share of int6 codes that are +-1."""
    codes = [model.entries[name + CODES] for name in model.meta if model.kind(name) == "int6"]
    return sum(int((q.abs() == 1).sum()) for q in codes) / sum(q.numel() for q in codes)


def representative_floor(checkpoint: Checkpoint) -> float:
    """The floor clip at which `ONES_SHARE` of the codes are +-1; rounding to nearest is close enough to find it."""
    weights = [
        checkpoint.trained.ema[job.parameter]
        for job in plan_model(checkpoint.trained.ema, checkpoint.recipe.quantize)
        if job.needs_hessian
    ]
    whole = torch.cat([w.flatten() for w in weights]).abs()
    sigma = float(whole.square().mean().sqrt())
    low, high = 0.05 * sigma, 0.6 * sigma  # below 0.6 sigma the share of +-1 rises with the step
    for _ in range(40):
        step = (low + high) / 2
        share = float(((whole > 0.5 * step) & (whole < 1.5 * step)).double().mean())
        low, high = (step, high) if share < ONES_SHARE else (low, step)
    return step * INT6_LIMIT


def artifact_config(cap_bytes: int, code_bytes: int) -> ArtifactConfig:
    """The reference's container and pruning under a cap."""
    return ArtifactConfig(cap_bytes=cap_bytes, code_bytes=code_bytes, fit="prune")


def natural(checkpoint: Checkpoint, floor_clip: float, code_bytes: int) -> Candidate:
    """Quantized, not pruned; its own size is its cap."""
    model = quantize(checkpoint, floor_clip)
    size = len(write_container(model, artifact_config(2**40, code_bytes))) + code_bytes
    notes = {"floor_clip": floor_clip, "ones_share": ones_share(model)}
    return Candidate(name="natural", side="faithful", model=model, total_bytes=size, cap_bytes=size, notes=notes)


def pruned(base: Candidate, name: str, cap_bytes: int, code_bytes: int) -> Candidate:
    """``base`` pruned to a cap by the reference's rule."""
    result = fit(base.model, artifact_config(cap_bytes, code_bytes), write_container)
    notes = {"pruned": result.pruned, "passes": result.passes}
    return Candidate(
        name=name, side="faithful", model=result.model, total_bytes=result.total_bytes, cap_bytes=cap_bytes, notes=notes
    )


def step_solved(checkpoint: Checkpoint, name: str, start: Candidate, cap_bytes: int, code_bytes: int) -> Candidate:
    """The faithful quantizer with its floor raised until the container fits the cap, without pruning; within 0.1 %."""
    low = high = float(str(start.notes["floor_clip"]))
    best: Candidate | None = None
    for _ in range(12):
        middle = high * 1.6 if best is None else (low * high) ** 0.5
        found = replace(natural(checkpoint, middle, code_bytes), name=name, cap_bytes=cap_bytes)
        if found.total_bytes > cap_bytes:
            low = middle
            high = max(high, middle)
            continue
        best, high = found, middle
        if found.total_bytes >= 0.999 * cap_bytes:
            break
    if best is None:
        raise RuntimeError(f"no floor step reaches {cap_bytes} bytes")
    return best
