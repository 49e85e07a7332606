"""``artifact.fit = "solve"``: our own way; the steps of `recur.pipeline.fitting.solve` in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recur.config import Recipe
from recur.pipeline.filling import Pieces, Search, code_item
from recur.pipeline.gridded import assembled, grid_weights, passed_through, prepared, rounded
from recur.quantize.grid.estimate import total
from recur.quantize.tensors import QuantizedModel
from recur.train.checkpoint import Trained


def container(trained: Trained, recipe: Recipe, say: Callable[[str, dict[str, Any]], None]) -> bytes:
    """The container that fills the cap.

    Raises:
        BudgetUnreachable: the cap cannot be met.
    """
    cfg = recipe.quantize
    ready = {w.job.parameter: prepared(w.job, w.weight, w.known, cfg) for w in grid_weights(trained, recipe)}
    results = passed_through(trained.ema, ready, cfg)
    passed = {key: tensor for result in results for key, tensor in result.entries.items()}
    meta = {result.job.parameter: result.meta for result in results}

    def at(log2_multiplier: float, trial: int) -> QuantizedModel:
        weights = [rounded(name, one, log2_multiplier, cfg.block_columns) for name, one in ready.items()]
        return assembled(list(trained.ema), weights, passed, meta)

    pieces = Pieces(
        spread=total(one.spread for one in ready.values()),
        passed=assembled(list(meta), (), passed, meta),
        rounded=at,
        coded=lambda items, trial: [code_item(item) for item in items],
        say=say,
    )
    search = Search(recipe.artifact, pieces)
    return search.blobs[search.run().best.log2_multiplier]
