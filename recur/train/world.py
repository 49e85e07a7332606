"""A recipe at another world size than its own: the same amount of calibration, which the recipe counts for each rank."""

from __future__ import annotations

from dataclasses import replace

from recur.config import Recipe


def at_world(recipe: Recipe, world: int) -> Recipe:
    """The recipe for ``world`` ranks; calibration batches of a rank are rounded up."""
    cfg, own = recipe.quantize, recipe.cluster.workers
    if cfg.hessian_ranks == "all":
        hessians, moments = (-(-count * own // world) for count in (cfg.calibration_batches, cfg.fisher_batches))
        cfg = replace(cfg, calibration_batches=hessians, fisher_batches=moments)
    return replace(recipe, quantize=cfg, cluster=replace(recipe.cluster, workers=world))
