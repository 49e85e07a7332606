"""The reference's quantize and prune as independent items, and the quantized model as files between the two phases.

The file of a quantized model is safetensors plus the JSON of its order and metadata; no pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from recur.artifact.reference import write_container
from recur.config import ArtifactConfig, QuantizeConfig
from recur.errors import ArtifactError, BudgetUnreachable
from recur.pipeline.work import Fitted
from recur.quantize.fitting.prune import fit
from recur.quantize.plan import QuantizedModel, TensorJob, TensorResult, plan_model, run_jobs
from recur.record.atomic import read_json, write_bytes_atomic, write_json_atomic
from recur.train.checkpoint import Trained

CODES_FILE = "quantized.safetensors"
ORDER_FILE = "quantized.json"
QUANTIZED = (CODES_FILE, ORDER_FILE)


@dataclass(frozen=True, kw_only=True)
class QuantizeItem:
    """What is stored at once: a tensor, or the matrices of one input (a block's q, k, v) with its mean Hessian."""

    jobs: tuple[TensorJob, ...]
    weights: tuple[Tensor, ...]
    hessian: Tensor | None
    cfg: QuantizeConfig

    @property
    def name(self) -> str:
        """For people: that of its first job."""
        return self.jobs[0].name


@dataclass(frozen=True, kw_only=True)
class QuantizeItems:
    """What is worth a task of its own, longest first, and what is done in place."""

    fanned: list[QuantizeItem]
    trivial: list[QuantizeItem]


@dataclass(frozen=True, kw_only=True)
class FitItem:
    """A quantized model, named by the folder that holds it, to be brought under the cap."""

    folder: Path
    cfg: ArtifactConfig


def quantize_items(trained: Trained, cfg: QuantizeConfig) -> QuantizeItems:
    """The items of a trained model: quantized tensors to fan out, the passed-through ones in place."""
    hessians = trained.hessians.mean()
    together: dict[int, list[TensorJob]] = {}
    for job in plan_model(trained.ema, cfg):
        input_of = hessians.get(job.parameter) if job.needs_hessian else None
        together.setdefault(-job.index - 1 if input_of is None else id(input_of), []).append(job)
    items = [
        QuantizeItem(
            jobs=tuple(jobs),
            weights=tuple(trained.ema[job.parameter] for job in jobs),
            hessian=hessians.get(jobs[0].parameter),
            cfg=cfg,
        )
        for jobs in together.values()
    ]
    fanned = [item for item in items if item.jobs[0].needs_hessian]
    fanned.sort(key=lambda item: (-sum(job.flops for job in item.jobs), item.jobs[0].index))
    return QuantizeItems(fanned=fanned, trivial=[item for item in items if not item.jobs[0].needs_hessian])


def quantize_item(item: QuantizeItem) -> list[TensorResult]:
    """Store its tensors. They are copied: what arrives through an object store must not be written to."""
    weights = [weight.clone() for weight in item.weights]
    return run_jobs(item.jobs, weights, None if item.hessian is None else item.hessian.clone(), item.cfg)


def fit_item(item: FitItem) -> Fitted:
    """Bring a quantized model under its cap by pruning."""
    model = load_quantized(item.folder)
    try:
        result = fit(model, item.cfg, write_container)
    except BudgetUnreachable as error:
        return Fitted(blob=b"", unreachable=str(error))
    numbers = ("unpruned_bytes", "excess_bytes", "pruned", "candidates", "passes")
    return Fitted(blob=result.blob, fields={name: int(getattr(result, name)) for name in numbers})


def save_quantized(folder: Path, model: QuantizedModel) -> None:
    """Write a quantized model as `QUANTIZED` below ``folder``."""
    tensors = {name: tensor.contiguous() for name, tensor in model.entries.items()}
    write_bytes_atomic(folder / CODES_FILE, safetensors.torch.save(tensors))
    write_json_atomic(folder / ORDER_FILE, {"entries": list(model.entries), "meta": dict(model.meta)})


def load_quantized(folder: Path) -> QuantizedModel:
    """Read what `save_quantized` wrote.

    Raises:
        ArtifactError: missing, damaged or of another form.
    """
    path = folder / CODES_FILE
    try:
        tensors = safetensors.torch.load(path.read_bytes())
        order: Any = read_json(folder / ORDER_FILE)
        entries = {name: tensors[name] for name in order["entries"]}
        return QuantizedModel(entries=entries, meta=dict(order["meta"]))
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ArtifactError(str(path), f"is not a quantized model ({error})", "run the seed again") from error
