"""Our own quantizer over one model in memory: which weights get codes, each prepared and rounded, the model put together.

Free of files: `recur.pipeline.gridding` runs the same functions as items over an attempt's folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.config import QuantizeConfig, Recipe
from recur.quantize.classes import TensorClass
from recur.quantize.grid.prepare import Calibrated, Prepared, prepare
from recur.quantize.grid.rounding import grid_steps, round_to_grid
from recur.quantize.plan import TensorJob, TensorResult, pass_through, plan_model
from recur.quantize.tensors import CODES, COLS, ROWS, STEP, Meta, QuantizedModel
from recur.train.checkpoint import Trained


@dataclass(frozen=True, kw_only=True)
class GridWeight:
    """One weight that gets codes, with what calibration knows of it."""

    job: TensorJob
    weight: Tensor
    known: Calibrated


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """Entries of one weight for the container."""

    parameter: str
    method: str
    entries: dict[str, Tensor]


def grid_weights(trained: Trained, recipe: Recipe) -> list[GridWeight]:
    """The weights that get codes, the longest to prepare first."""
    jobs = [job for job in plan_model(trained.ema, recipe.quantize) if has_grid(job, trained.ema[job.parameter])]
    known = calibrated(trained, [job.parameter for job in jobs], tokens_per_batch(recipe))
    weights = [GridWeight(job=job, weight=trained.ema[job.parameter], known=known[job.parameter]) for job in jobs]
    return sorted(weights, key=lambda one: (-one.job.flops, one.job.index))


def tokens_per_batch(recipe: Recipe) -> int:
    """Tokens of one calibration micro-batch."""
    return recipe.train.batch_tokens // recipe.train.micro_batches


def has_grid(job: TensorJob, tensor: Tensor) -> bool:
    """Whether the tensor gets codes: matrices and two-dimensional tables."""
    return job.kind in (TensorClass.MATRIX, TensorClass.TABLE) and tensor.ndim == 2


def calibrated(trained: Trained, parameters: Sequence[str], batch_tokens: int) -> dict[str, Calibrated]:
    """The calibration of each parameter, per token."""
    sums, moments = trained.hessians.sums, trained.moments
    tokens = trained.hessians.batches * batch_tokens
    outputs = {} if moments is None else moments.output_moments()
    lookups = {} if moments is None else moments.lookup_moments()
    return {
        name: Calibrated(
            hessian=sums[name] / tokens if name in sums else None,
            outputs=outputs.get(name),
            lookups=lookups.get(name),
        )
        for name in parameters
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: a product's last bits depend on how many share it, and an artifact must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepared(job: TensorJob, weight: Tensor, known: Calibrated, cfg: QuantizeConfig) -> Prepared:
    """Prepare one weight; it is copied, since what arrives through an object store is read-only."""
    with one_thread():
        return prepare(job.parameter, weight.clone(), known, job.kind, cfg)


def method_of(ready: Prepared) -> str:
    """How a prepared weight will be rounded: ``gptq``, or ``nearest`` without a Hessian."""
    return "nearest" if ready.factor is None else "gptq"


def rounded(parameter: str, ready: Prepared, log2_multiplier: float, block_columns: int) -> Rounded:
    """Round one prepared weight at a multiplier."""
    with one_thread():
        grid = grid_steps(ready.weight, ready.steps, log2_multiplier)
        codes = round_to_grid(ready.weight, grid, ready.factor, block_columns)
    entries = {parameter + CODES: codes, parameter + STEP: grid.base, parameter + ROWS: grid.rows, parameter + COLS: grid.columns}
    return Rounded(parameter=parameter, method=method_of(ready), entries=entries)


def passed_through(state: Mapping[str, Tensor], with_codes: Collection[str], cfg: QuantizeConfig) -> list[TensorResult]:
    """What has no codes, as it is stored."""
    jobs = [job for job in plan_model(state, cfg) if job.parameter not in with_codes]
    return [pass_through(job, state[job.parameter]) for job in jobs]


def assembled(
    order: Sequence[str], weights: Sequence[Rounded], passed: Mapping[str, Tensor], passed_meta: Mapping[str, Meta]
) -> QuantizedModel:
    """The whole model from its rounded weights, in any order, and what was passed through.

    Args:
        order: parameters in state-dict order; those that are in neither are left out by giving no name.
        weights: the rounded ones.
        passed: stored tensors of the others, by parameter.
        passed_meta: their metadata.
    """
    by_name = {one.parameter: one for one in weights}
    entries: dict[str, Tensor] = {}
    meta: dict[str, Meta] = {}
    for name in order:
        if name in by_name:
            entries |= by_name[name].entries
            meta[name] = {"type": "grid", "method": by_name[name].method}
        else:
            entries[name] = passed[name]
            meta[name] = passed_meta[name]
    return QuantizedModel(entries=entries, meta=meta)
