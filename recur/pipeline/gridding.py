"""Our own quantizer as independent items over files: prepare each weight once, round all of them at a multiplier.

What `prepare` leaves per weight is a safetensors file in the attempt's folder (whoever rounds it reads it there), and one
JSON index; passed-through tensors share one file. No pickle is read. What is computed is `recur.pipeline.gridded`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from recur.config import QuantizeConfig, Recipe
from recur.errors import ArtifactError
from recur.pipeline.gridded import Rounded, assembled, grid_weights, method_of, passed_through, prepared, rounded
from recur.quantize.grid.estimate import SpreadHistogram
from recur.quantize.grid.prepare import Calibrated, Prepared
from recur.quantize.grid.steps import LogSteps
from recur.quantize.plan import TensorJob
from recur.quantize.sweep import Factor
from recur.quantize.tensors import Meta, QuantizedModel
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


def prepare_items(trained: Trained, recipe: Recipe, folder: Path) -> list[PrepareItem]:
    """One item per weight that gets codes, the longest first."""
    return [
        PrepareItem(job=one.job, weight=one.weight, known=one.known, cfg=recipe.quantize, folder=folder)
        for one in grid_weights(trained, recipe)
    ]


def prepare_item(item: PrepareItem) -> GridWeight:
    """Prepare one weight and write its file."""
    ready = prepared(item.job, item.weight, item.known, item.cfg)
    tensors = {"weight": ready.weight, "rows": ready.steps.rows, "columns": ready.steps.columns}
    if ready.factor is not None:
        tensors |= {"order": ready.factor.order, "dead": ready.factor.dead, "upper": ready.factor.upper}
    write_bytes_atomic(item.folder / item.file, safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}))
    return GridWeight(parameter=item.job.parameter, file=item.file, method=method_of(ready), spread=ready.spread)


def save_index(trained: Trained, weights: Sequence[GridWeight], cfg: QuantizeConfig, folder: Path) -> GridIndex:
    """Store what has no codes, and the index of it all."""
    with_codes = {w.parameter for w in weights}
    results = passed_through(trained.ema, with_codes, cfg)
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
    return rounded(item.weight.parameter, ready, item.log2_multiplier, item.block_columns)


def load_prepared(folder: Path, weight: GridWeight) -> Prepared:
    """Read the file of one prepared weight."""
    tensors = _read(folder / weight.file)
    try:
        factor = Factor(order=tensors["order"], dead=tensors["dead"], upper=tensors["upper"]) if "upper" in tensors else None
        steps = LogSteps(rows=tensors["rows"], columns=tensors["columns"])
        return Prepared(weight=tensors["weight"], factor=factor, steps=steps, spread=weight.spread)
    except KeyError as error:
        raise ArtifactError(str(folder / weight.file), f"lacks {error}", "run the seed again") from error


def rounded_model(folder: Path, index: GridIndex, weights: Sequence[Rounded]) -> QuantizedModel:
    """The whole model in state-dict order from the rounded weights, in any order, and what was passed through."""
    return assembled(index.order, weights, _read(folder / PASSED_FILE), index.passed)


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
