"""``artifact.fit = "prune"``: the reference's way; the steps of `recur.pipeline.fitting.prune` in memory."""

from __future__ import annotations

import json
from typing import Any

from recur.artifact.reference import write_container
from recur.config import Recipe
from recur.pipeline.quantizing import quantize_item, quantize_items
from recur.quantize.fitting.prune import fit
from recur.quantize.plan import assemble
from recur.quantize.tensors import QuantizedModel
from recur.train.checkpoint import Trained


def container(trained: Trained, recipe: Recipe, say: Any) -> bytes:
    """Codes of every tensor, pruned to the cap.

    Raises:
        BudgetUnreachable: the cap cannot be met.
    """
    del say
    items = quantize_items(trained, recipe.quantize)
    model = assemble(result for item in (*items.fanned, *items.trivial) for result in quantize_item(item))
    return fit(_from_text(model), recipe.artifact, write_container).blob


def _from_text(model: QuantizedModel) -> QuantizedModel:
    """The model with names and metadata made anew, as when it was a file: a pickle tells one text from two equal ones."""
    names, meta = json.loads(json.dumps([list(model.entries), dict(model.meta)]))
    return QuantizedModel(entries=dict(zip(names, model.entries.values(), strict=True)), meta=meta)
