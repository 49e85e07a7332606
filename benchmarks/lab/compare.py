"""Divergence of quantized models from the trained one, as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.lab.checkpoint import Checkpoint
from benchmarks.lab.faithful import Candidate
from recur.artifact.decode import decode_state
from recur.evaluate.divergence import divergences
from recur.model.build import template_dtypes, template_shapes
from recur.record.atomic import write_json_atomic
from recur.record.environment import environment

MODELS_AT_ONCE = 4
BATCH_WINDOWS = 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate: its bytes and how far it is from the trained model, nats per token."""

    name: str
    side: str
    total_bytes: int
    cap_bytes: int
    kl: float
    kl_se: float
    ce_difference: float
    ce_difference_se: float
    tokens: int
    notes: dict[str, object]


def measure(checkpoint: Checkpoint, candidates: Sequence[Candidate], windows: torch.Tensor) -> list[Row]:
    """KL(trained || candidate) of each on ``windows``; the trained model runs once per `MODELS_AT_ONCE` candidates."""
    cfg = checkpoint.recipe.model
    dtypes, shapes = template_dtypes(cfg, "fp32"), template_shapes(cfg)
    teacher, rows = checkpoint.model(), []
    for at in range(0, len(candidates), MODELS_AT_ONCE):
        group = candidates[at : at + MODELS_AT_ONCE]
        students = {str(i): checkpoint.model(decode_state(c.model, dtypes, shapes)) for i, c in enumerate(group)}
        found = divergences(teacher, students, windows, batch_windows=BATCH_WINDOWS, device=torch.device("cpu"), autocast=False)
        for i, one in enumerate(group):
            size = {"total_bytes": one.total_bytes, "cap_bytes": one.cap_bytes}
            rows.append(Row(name=one.name, side=one.side, **size, **asdict(found[str(i)]), notes=dict(one.notes)))
    return rows


def hardware() -> dict[str, object]:
    """What ran this."""
    found = environment()
    return {name: found[name] for name in ("cpu", "cores", "gpu", "torch")}


def save(path: Path, fields: dict[str, object]) -> None:
    """Write the results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, json.loads(json.dumps({"hardware": hardware(), **fields})))
