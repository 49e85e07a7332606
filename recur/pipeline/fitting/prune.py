"""``artifact.fit = "prune"``: the reference's way: GPTQ once, then ±1 codes are set to zero until the container fits.

Source: REFERENCE 8-9. One item per matrix, one item for pruning and compressing.
"""

from __future__ import annotations

from itertools import chain

from recur.pipeline.quantizing import (
    QUANTIZED,
    FitItem,
    fit_item,
    quantize_item,
    quantize_items,
    save_quantized,
)
from recur.pipeline.work import Fitted, Quantized, Work
from recur.quantize.plan import assemble
from recur.train.checkpoint import load_trained


def quantize(work: Work) -> Quantized:
    """Codes of every tensor, as files."""
    items = quantize_items(load_trained(work.folder), work.recipe.quantize)
    names = [f"gptq[seed={work.seed} {item.name}]" for item in items.fanned]
    results = work.map(quantize_item, items.fanned, names)
    model = assemble(chain.from_iterable([*results, *map(quantize_item, items.trivial)]))
    save_quantized(work.folder, model)
    return Quantized(fields={"methods": model.methods()}, payloads=QUANTIZED)


def fit(work: Work) -> Fitted:
    """The container, pruned to the cap."""
    item = FitItem(folder=work.folder, cfg=work.recipe.artifact)
    return work.map(fit_item, [item], [f"fit[seed={work.seed} prune]"])[0]
