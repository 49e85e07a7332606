"""Our own quantizer as independent items: prepare each weight once, round all of them at a multiplier, code each section.

What `prepare` leaves per weight is a safetensors file in the attempt's folder (whoever rounds it reads it there), and one
JSON index; passed-through tensors share one file. No pickle is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from recur.config import QuantizeConfig, Recipe
from recur.errors import ArtifactError
from recur.quantize.classes import TensorClass
from recur.quantize.grid.estimate import SpreadHistogram
from recur.quantize.grid.prepare import Calibrated, Prepared, prepare
from recur.quantize.grid.rounding import grid_steps, round_to_grid
from recur.quantize.grid.steps import LogSteps
from recur.quantize.plan import TensorJob, plan_model, run_job
from recur.quantize.sweep import Factor
from recur.quantize.tensors import CODES, COLS, ROWS, STEP, Meta, QuantizedModel
from recur.record.atomic import read_json, write_bytes_atomic, write_json_atomic
from recur.train.checkpoint import Trained

INDEX_FILE = "grid.json"
PASSED_FILE = "passed.safetensors"


@dataclass(frozen=True, kw_only=True)
class PrepareItem:
    """One weight to prepare; its result goes to ``folder / file``."""

    job: TensorJob
    weight: Tensor
    known: Calibrated
    cfg: QuantizeConfig
    folder: Path

    @property
    def file(self) -> str:
        return f"grid_{self.job.index:03d}.safetensors"


@dataclass(frozen=True, kw_only=True)
class GridWeight:
    """A prepared weight in the index: where it is and how its bytes depend on the multiplier."""

    parameter: str
    file: str
    method: str
    spread: SpreadHistogram


@dataclass(frozen=True, kw_only=True)
class GridIndex:
    """All tensors of the model in state-dict order, and the prepared ones among them."""

    order: tuple[str, ...]
    weights: tuple[GridWeight, ...]
    passed: dict[str, Meta]

    def passed_only(self) -> GridIndex:
        """The index of the passed-through tensors alone."""
        return GridIndex(order=tuple(self.passed), weights=(), passed=self.passed)

    @property
    def payloads(self) -> tuple[str, ...]:
        return (*(w.file for w in self.weights), PASSED_FILE, INDEX_FILE)


@dataclass(frozen=True, kw_only=True)
class RoundItem:
    """One prepared weight to round at a multiplier."""

    folder: Path
    weight: GridWeight
    log2_multiplier: float
    block_columns: int


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """Entries of one weight for the container."""

    parameter: str
    method: str
    entries: dict[str, Tensor]


def prepare_items(trained: Trained, recipe: Recipe, folder: Path) -> list[PrepareItem]:
    """One item per weight that gets codes, the longest first."""
    cfg = recipe.quantize
    jobs = {job.parameter: job for job in plan_model(trained.ema, cfg) if has_grid(job, trained.ema[job.parameter])}
    items = [
        PrepareItem(job=jobs[name], weight=trained.ema[name], known=known, cfg=cfg, folder=folder)
        for name, known in calibrated(trained, list(jobs), tokens_per_batch(recipe)).items()
    ]
    return sorted(items, key=lambda item: (-item.job.flops, item.job.index))


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


def prepare_item(item: PrepareItem) -> GridWeight:
    """Prepare one weight and write its file. Tensors are copied: what arrives through an object store is read-only."""
    with one_thread():
        ready = prepare(item.job.parameter, item.weight.clone(), item.known, item.job.kind, item.cfg)
    tensors = {"weight": ready.weight, "rows": ready.steps.rows, "columns": ready.steps.columns}
    if ready.factor is not None:
        tensors |= {"order": ready.factor.order, "dead": ready.factor.dead, "upper": ready.factor.upper}
    write_bytes_atomic(item.folder / item.file, safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}))
    method = "gptq" if ready.factor is not None else "nearest"
    return GridWeight(parameter=item.job.parameter, file=item.file, method=method, spread=ready.spread)


def save_index(trained: Trained, weights: Sequence[GridWeight], cfg: QuantizeConfig, folder: Path) -> GridIndex:
    """Store what has no codes, and the index of it all."""
    with_codes = {w.parameter for w in weights}
    jobs = plan_model(trained.ema, cfg)
    results = [run_job(_passed(j), trained.ema[j.parameter], None, cfg) for j in jobs if j.parameter not in with_codes]
    entries = {key: tensor for result in results for key, tensor in result.entries.items()}
    index = GridIndex(
        order=tuple(trained.ema),
        weights=tuple(sorted(weights, key=lambda w: w.file)),
        passed={result.job.parameter: result.meta for result in results},
    )
    write_bytes_atomic(folder / PASSED_FILE, safetensors.torch.save(entries))
    fields = [{"parameter": w.parameter, "file": w.file, "method": w.method, "spread": _sparse(w.spread)} for w in index.weights]
    write_json_atomic(folder / INDEX_FILE, {"order": list(index.order), "weights": fields, "passed": index.passed})
    return index


def load_index(folder: Path) -> GridIndex:
    """Read what `save_index` wrote.

    Raises:
        ArtifactError: missing or of another form.
    """
    try:
        tree: Any = read_json(folder / INDEX_FILE)
        weights = tuple(
            GridWeight(parameter=w["parameter"], file=w["file"], method=w["method"], spread=_dense(w["spread"]))
            for w in tree["weights"]
        )
        return GridIndex(order=tuple(tree["order"]), weights=weights, passed=dict(tree["passed"]))
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtifactError(
            str(folder / INDEX_FILE), f"is no index of prepared weights ({error})", "run the seed again"
        ) from error


def round_item(item: RoundItem) -> Rounded:
    """Round one prepared weight at the item's multiplier."""
    ready = load_prepared(item.folder, item.weight)
    with one_thread():
        grid = grid_steps(ready.weight, ready.steps, item.log2_multiplier)
        codes = round_to_grid(ready.weight, grid, ready.factor, item.block_columns)
    name = item.weight.parameter
    entries = {name + CODES: codes, name + STEP: grid.base, name + ROWS: grid.rows, name + COLS: grid.columns}
    return Rounded(parameter=name, method=item.weight.method, entries=entries)


def load_prepared(folder: Path, weight: GridWeight) -> Prepared:
    """Read the file of one prepared weight."""
    tensors = _read(folder / weight.file)
    try:
        factor = Factor(order=tensors["order"], dead=tensors["dead"], upper=tensors["upper"]) if "upper" in tensors else None
        steps = LogSteps(rows=tensors["rows"], columns=tensors["columns"])
        return Prepared(weight=tensors["weight"], factor=factor, steps=steps, spread=weight.spread)
    except KeyError as error:
        raise ArtifactError(str(folder / weight.file), f"lacks {error}", "run the seed again") from error


def rounded_model(folder: Path, index: GridIndex, rounded: Sequence[Rounded]) -> QuantizedModel:
    """The whole model in state-dict order from the rounded weights, in any order, and what was passed through."""
    by_name = {r.parameter: r for r in rounded}
    passed = _read(folder / PASSED_FILE)
    entries: dict[str, Tensor] = {}
    meta: dict[str, Meta] = {}
    for name in index.order:
        if name in by_name:
            entries |= by_name[name].entries
            meta[name] = {"type": "grid", "method": by_name[name].method}
        else:
            entries[name] = passed[name]
            meta[name] = index.passed[name]
    return QuantizedModel(entries=entries, meta=meta)


def _passed(job: TensorJob) -> TensorJob:
    """A tensor without codes: as planned where that is passing it through, else in float16."""
    kind = job.kind if job.kind in (TensorClass.RAW, TensorClass.SMALL, TensorClass.CONTROL) else TensorClass.SMALL
    return TensorJob(index=job.index, parameter=job.parameter, kind=kind, flops=job.flops)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise ArtifactError(str(path), f"cannot be read ({error})", "run the seed again") from error


def _sparse(spread: SpreadHistogram) -> dict[str, float]:
    return {str(i): float(spread.counts[i]) for i in np.flatnonzero(spread.counts)}


def _dense(counts: dict[str, float]) -> SpreadHistogram:
    dense = SpreadHistogram.empty().counts
    for bin_, count in counts.items():
        dense[int(bin_)] = count
    return SpreadHistogram(counts=dense)
