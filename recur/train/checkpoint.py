"""What training leaves behind: EMA weights, calibration sums and a summary, as safetensors and JSON with their hashes.

Payloads first, the summary last: a folder without `train.json` holds no finished training. No pickle is read or written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from recur.errors import ArtifactError
from recur.quantize.fisher import MomentSum
from recur.quantize.hessian import HessianSum
from recur.record.atomic import write_bytes_atomic, write_json_atomic

WEIGHTS_FILE = "ema.safetensors"
HESSIANS_FILE = "hessians.safetensors"
MOMENTS_FILE = "moments.safetensors"
SUMMARY_FILE = "train.json"
_OUTPUT, _LOOKUP = "output/", "lookup/"
"""Prefixes in the file of the moments, in front of a parameter's name."""


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """Numbers of one training; losses are of the raw weights at the first and the last validation."""

    steps: int
    stop_reason: str
    train_s: float
    data_read_s: float
    tokens_per_s: float
    mfu: float
    mfu_peak_tflops: float
    mfu_peak_source: str
    first_val_loss: float | None
    first_val_bpb: float | None
    last_step_loss: float
    last_step_bpb: float
    recurrence_active: bool
    attention_backend: str
    warmup_state_sha256: str
    peak_memory_bytes: int
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The EMA weights (float32, state-dict order), the calibration sums and the summary.

    ``moments`` is None where the recipe asks for none, and in folders from before there were any.
    """

    ema: dict[str, Tensor]
    hessians: HessianSum
    summary: TrainSummary
    moments: MomentSum | None = None


def _write_payload(path: Path, tensors: dict[str, Tensor]) -> str:
    blob = safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()})
    write_bytes_atomic(path, blob)
    return hashlib.sha256(blob).hexdigest()


def save_trained(folder: Path, trained: Trained) -> None:
    """Write the files of `payloads` into ``folder``; the summary last."""
    unique, alias = trained.hessians.distinct(), trained.hessians.aliases()
    files = {WEIGHTS_FILE: trained.ema, HESSIANS_FILE: unique}
    if trained.moments is not None:
        files[MOMENTS_FILE] = _moment_tensors(trained.moments)
    hashes = {file: _write_payload(folder / file, tensors) for file, tensors in files.items()}
    fields = {
        "summary": dataclasses.asdict(trained.summary),
        "order": list(trained.ema),
        "hessian_alias": alias,
        "hessian_batches": trained.hessians.batches,
        "moments": None if trained.moments is None else _moment_counts(trained.moments),
        "sha256": hashes,
    }
    write_json_atomic(folder / SUMMARY_FILE, fields)


def payloads(folder: Path) -> tuple[str, ...]:
    """Names of the files that `save_trained` left in ``folder``, the summary last; errors as `load_trained`."""
    hashes = _read_index(folder).hashes
    return (*(file for file in (WEIGHTS_FILE, HESSIANS_FILE, MOMENTS_FILE) if file in hashes), SUMMARY_FILE)


def _moment_tensors(moments: MomentSum) -> dict[str, Tensor]:
    outputs = {_OUTPUT + name: t for name, t in moments.outputs.items()}
    return outputs | {_LOOKUP + name: t for name, t in moments.lookups.items()}


def _moment_counts(moments: MomentSum) -> dict[str, Any]:
    return {"visits": moments.visits, "tables": list(moments.lookups), "tokens": moments.tokens}


def _read_payload(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        blob = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(str(path), "is missing beside its summary", "train again") from error
    found = hashlib.sha256(blob).hexdigest()
    if found != sha256:
        raise ArtifactError(f"{path} sha256={found}", f"must be {sha256}", "the file is damaged: train again")
    try:
        return safetensors.torch.load(blob)
    except safetensors.SafetensorError as error:
        raise ArtifactError(str(path), f"is not a safetensors file ({error})", "train again") from error


@dataclass(frozen=True, kw_only=True)
class _Index:
    """The parsed train.json."""

    summary: TrainSummary
    order: list[str]
    alias: dict[str, str]
    batches: int
    moments: dict[str, Any] | None
    hashes: dict[str, str]


def _read_index(folder: Path) -> _Index:
    path = folder / SUMMARY_FILE
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _Index(
            summary=TrainSummary(**fields["summary"]),
            order=list(fields["order"]),
            alias=dict(fields["hessian_alias"]),
            batches=int(fields["hessian_batches"]),
            moments=fields.get("moments"),
            hashes=dict(fields["sha256"]),
        )
    except FileNotFoundError as error:
        raise ArtifactError(str(path), "is missing: training did not finish", "train again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(str(path), f"is not a training summary ({error})", "train again") from error


def load_summary(folder: Path) -> TrainSummary:
    """The summary alone; errors as `load_trained`."""
    return _read_index(folder).summary


def load_ema(folder: Path) -> dict[str, Tensor]:
    """The EMA weights alone, in state-dict order; errors as `load_trained`."""
    index = _read_index(folder)
    weights = _read_payload(folder / WEIGHTS_FILE, index.hashes[WEIGHTS_FILE])
    if set(index.order) != set(weights):
        raise ArtifactError(str(folder / SUMMARY_FILE), "names weights that its payload lacks", "train again")
    return {name: weights[name] for name in index.order}


def load_trained(folder: Path) -> Trained:
    """Read what `save_trained` wrote.

    Raises:
        ArtifactError: a file is missing, damaged or of another form.
    """
    index = _read_index(folder)
    unique = _read_payload(folder / HESSIANS_FILE, index.hashes[HESSIANS_FILE])
    if not set(index.alias.values()) <= set(unique):
        raise ArtifactError(str(folder / SUMMARY_FILE), "names Hessians that its payload lacks", "train again")
    return Trained(
        ema=load_ema(folder),
        hessians=HessianSum.shared(unique, index.alias, index.batches),
        summary=index.summary,
        moments=None if index.moments is None else _load_moments(folder, index),
    )


def _load_moments(folder: Path, index: _Index) -> MomentSum:
    counts = index.moments or {}
    try:
        tensors = _read_payload(folder / MOMENTS_FILE, index.hashes[MOMENTS_FILE])
        visits = {str(name): int(number) for name, number in counts["visits"].items()}
        return MomentSum(
            outputs={name: tensors[_OUTPUT + name] for name in visits},
            visits=visits,
            lookups={name: tensors[_LOOKUP + name] for name in counts["tables"]},
            tokens=int(counts["tokens"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        rule = f"does not fit the payload of its moments ({error})"
        raise ArtifactError(str(folder / SUMMARY_FILE), rule, "train again") from error
