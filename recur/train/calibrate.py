"""Calibration: the Hessian sums of the finished model over the first training micro-batches, on the clock.

Source: REFERENCE 8.4. Deviation (default): the sums of all ranks are merged; ``hessian_ranks = "rank0"`` is the
reference's defect of using one rank's share.
"""

from __future__ import annotations

import torch

from recur.config import Recipe
from recur.data.loader import WindowLoader
from recur.model.gpt import GPT
from recur.quantize.hessian import HessianSum, collect_hessians, hessian_names
from recur.train.ranks import Ranks


def calibrate(model: GPT, loader: WindowLoader, recipe: Recipe, ranks: Ranks, device: torch.device) -> HessianSum:
    """Collect and merge the sums; the result is the same on every rank when all ranks count.

    Args:
        model: holding the weights that will be quantized, recurrence as at the end of training.
        loader: a fresh one, at its first micro-batch.
    """
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    names = hessian_names(shapes, recipe.quantize)
    count = recipe.quantize.calibration_batches
    batches = (loader.next_batch() for _ in range(count))
    sums = collect_hessians(model, batches, count=count, names=names, device=device)
    if ranks.world == 1 or recipe.quantize.hessian_ranks == "rank0":
        return sums
    return _merged(sums, ranks, device)


def _merged(own: HessianSum, ranks: Ranks, device: torch.device) -> HessianSum:
    distinct = {name: t.to(device) for name, t in own.distinct().items()}
    ranks.sum_tensors(list(distinct.values()))
    merged = {name: t.cpu() for name, t in distinct.items()}
    return HessianSum.shared(merged, own.aliases(), own.batches * ranks.world)
