"""One job per tensor: plan a model, run a job, assemble the results.

Provides what a fan-out needs: `plan_model` names the jobs, `run_jobs` is a pure function of its tensors, `assemble`
puts the results into state-dict order whatever order they came in. Source: REFERENCE 8.1 and 10 (order of entries).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.components import component
from recur.config import QuantizeConfig
from recur.errors import RecurError
from recur.quantize.classes import TensorClass, tensor_class
from recur.quantize.rounding import quantize_block, quantize_table
from recur.quantize.tensors import CODES, SCALE, Meta, QuantizedModel, QuantizedTensor

__all__ = [
    "QuantizedModel",
    "QuantizedTensor",
    "TensorJob",
    "TensorResult",
    "assemble",
    "pass_through",
    "plan_model",
    "run_job",
    "run_jobs",
]


@dataclass(frozen=True, kw_only=True)
class TensorJob:
    """One tensor to store.

    Attributes:
        index: its place in the state dict.
        parameter: state-dict name, e.g. ``blocks.3.mlp.fc.weight``.
        kind: how it is stored.
        flops: rough multiply-adds, to start the long jobs first and to run the trivial ones in place.
    """

    index: int
    parameter: str
    kind: TensorClass
    flops: float

    @property
    def name(self) -> str:
        """Name for people, e.g. ``blocks.3.mlp.fc``."""
        return self.parameter.removesuffix(".weight")

    @property
    def needs_hessian(self) -> bool:
        """Whether the job is a matrix; its Hessian is kept under ``parameter``."""
        return self.kind is TensorClass.MATRIX


@dataclass(frozen=True, kw_only=True)
class TensorResult:
    """What one job leaves: the entries of the container, on the CPU, and the parameter's metadata."""

    job: TensorJob
    entries: dict[str, Tensor]
    meta: Meta


def plan_model(state: Mapping[str, Tensor], cfg: QuantizeConfig) -> list[TensorJob]:
    """The jobs of a state dict, in its order."""
    return [
        TensorJob(index=i, parameter=name, kind=kind, flops=_flops(tensor, kind))
        for i, (name, tensor) in enumerate(state.items())
        for kind in (tensor_class(name, tensor.shape, tensor.dtype, cfg),)
    ]


def run_job(job: TensorJob, weight: Tensor, hessian: Tensor | None, cfg: QuantizeConfig) -> TensorResult:
    """Store one tensor: `run_jobs` of it alone."""
    return run_jobs([job], [weight], hessian, cfg)[0]


def run_jobs(
    jobs: Sequence[TensorJob], weights: Sequence[Tensor], hessian: Tensor | None, cfg: QuantizeConfig
) -> list[TensorResult]:
    """Store one tensor, or several matrices with one input.

    Args:
        jobs: from `plan_model`; more than one only of class MATRIX.
        weights: their tensors, in their state-dict shapes.
        hessian: for matrices, ``[columns, columns]``; None (or another class) means none.
        cfg: the recipe's branch.

    Raises:
        RecurError: a tensor holds NaN, infinity, or a value that float16 cannot hold where it is stored so.
    """
    weights = [_finite(job, weight.detach()) for job, weight in zip(jobs, weights, strict=True)]
    if jobs[0].kind is TensorClass.MATRIX:
        matrices = [weight.float() for weight in weights]
        quantized = component("recur.quantize.matrix", cfg.matrix).quantize_matrices(matrices, hessian, cfg)
        return [_quantized(job, tensor) for job, tensor in zip(jobs, quantized, strict=True)]
    return [_alone(job, weight, cfg) for job, weight in zip(jobs, weights, strict=True)]


def pass_through(job: TensorJob, weight: Tensor) -> TensorResult:
    """Store a tensor without codes, as its class says: as it is, in float16, or (a control tensor) in float32.

    Raises:
        RecurError: as `run_jobs`.
    """
    weight = _finite(job, weight.detach())
    if job.kind is TensorClass.RAW:
        return _stored(job, weight, "passthrough")
    if job.kind is TensorClass.CONTROL:
        return _stored(job, weight.float(), "passthrough_ctrl")
    return _stored(job, weight.half(), "passthrough")


def _finite(job: TensorJob, weight: Tensor) -> Tensor:
    if weight.is_floating_point() and not torch.isfinite(weight).all():
        raise RecurError(f"{job.parameter} holds NaN or infinity and cannot be quantized: training diverged")
    return weight


def _alone(job: TensorJob, weight: Tensor, cfg: QuantizeConfig) -> TensorResult:
    if job.kind is TensorClass.BLOCK:
        return _quantized(job, quantize_block(weight.float()))
    if job.kind is TensorClass.TABLE:
        return _quantized(job, quantize_table(weight.float(), cfg))
    return pass_through(job, weight)


def assemble(results: Iterable[TensorResult]) -> QuantizedModel:
    """The whole model, in state-dict order, from results in any order."""
    ordered = sorted(results, key=lambda result: result.job.index)
    entries = {key: tensor for result in ordered for key, tensor in result.entries.items()}
    return QuantizedModel(entries=entries, meta={result.job.parameter: result.meta for result in ordered})


def _flops(tensor: Tensor, kind: TensorClass) -> float:
    if kind is not TensorClass.MATRIX:
        return float(tensor.numel())
    rows, columns = tensor.shape
    return float(rows) * columns**2 + float(columns) ** 3


def _stored(job: TensorJob, tensor: Tensor, meta: Meta) -> TensorResult:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise RecurError(f"{job.parameter} holds values beyond {tensor.dtype} and cannot be stored")
    return TensorResult(job=job, entries={job.parameter: tensor.to("cpu").clone().contiguous()}, meta=meta)


def _quantized(job: TensorJob, tensor: QuantizedTensor) -> TensorResult:
    entries = {job.parameter + CODES: tensor.q.to("cpu"), job.parameter + SCALE: tensor.scale.to("cpu")}
    return TensorResult(job=job, entries=entries, meta=dict(tensor.meta))
