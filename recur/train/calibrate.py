"""Calibration of the finished model over the first training micro-batches, on the clock or, as shares, off it.

Provides the input side (Hessian sums) and, with ``quantize.fisher_batches > 0``, the output side (moments of the output
gradients). Source: REFERENCE 8.4. Deviations (default): the sums of all ranks are merged; ``hessian_ranks = "rank0"`` is
the reference's defect of using one rank's share. The moments are ours.

The work is a list of units, one micro-batch of one rank each; a rank does its own, a share any slice. A unit draws the
same labels whoever does it, so shares add up to what the ranks found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from recur.config import Recipe
from recur.data.loader import Batch, WindowLoader
from recur.errors import RecurError
from recur.model.gpt import GPT
from recur.quantize.classes import lookup_names
from recur.quantize.fisher import MomentSum, collect_moments
from recur.quantize.hessian import HessianSum, collect_hessians, hessian_names
from recur.train.ranks import Ranks

LABEL_SEED = 0
"""Of the sampled labels; the run's seed affects only the initial weights."""

LoaderOf = Callable[[int], WindowLoader]
"""Makes a fresh loader, at its first micro-batch, for a rank."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What calibration leaves; ``moments`` is None where the recipe asks for none."""

    hessians: HessianSum
    moments: MomentSum | None

    def __add__(self, other: Calibration) -> Calibration:
        """The sum over both; the parameters must be the same, with moments in both or in none."""
        hessians = self.hessians + other.hessians
        if self.moments is not None and other.moments is not None:
            return Calibration(hessians=hessians, moments=self.moments + other.moments)
        if self.moments is not other.moments:
            raise RecurError("calibrations with and without moments cannot be added")
        return Calibration(hessians=hessians, moments=None)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Micro-batch ``micro`` of rank ``rank`` out of ``world``; ``number`` is its own in the whole calibration."""

    rank: int
    micro: int
    world: int

    @property
    def number(self) -> int:
        return self.micro * self.world + self.rank


def calibration_units(recipe: Recipe, world: int, micro_batches: int) -> list[Unit]:
    """The units that count over the first ``micro_batches`` of every rank (of rank 0 alone, if the recipe says so)."""
    ranks = range(world) if recipe.quantize.hessian_ranks == "all" else range(1)
    return [Unit(rank=rank, micro=micro, world=world) for micro in range(micro_batches) for rank in ranks]


def calibrate(model: GPT, fresh: LoaderOf, recipe: Recipe, ranks: Ranks, device: torch.device) -> Calibration:
    """Collect this rank's sums and merge them; the result is the same on every rank when all ranks count.

    Args:
        model: holding the weights that will be quantized, recurrence as at the end of training.
        fresh: called once for the Hessians and once more for the moments.
    """

    def own(micro_batches: int) -> list[Unit]:
        return [Unit(rank=ranks.rank, micro=micro, world=ranks.world) for micro in range(micro_batches)]

    cfg = recipe.quantize
    sums = collect(model, fresh, recipe, own(cfg.calibration_batches), own(cfg.fisher_batches), device)
    if ranks.world == 1 or cfg.hessian_ranks == "rank0":
        return sums
    moments = None if sums.moments is None else _merged_moments(sums.moments, ranks, device)
    return Calibration(hessians=_merged(sums.hessians, ranks, device), moments=moments)


def collect(
    model: GPT, fresh: LoaderOf, recipe: Recipe, units: Sequence[Unit], fisher_units: Sequence[Unit], device: torch.device
) -> Calibration:
    """Sums over some units: ``units`` for the Hessians, ``fisher_units`` for the moments (either may be empty)."""
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    names = hessian_names(shapes, recipe.quantize)
    hessians = collect_hessians(model, _batches(fresh, units), count=len(units), names=names, device=device)
    if recipe.quantize.fisher_batches == 0:
        return Calibration(hessians=hessians, moments=None)
    ordered = _by_rank(fisher_units)
    moments = collect_moments(
        model,
        _batches(fresh, ordered),
        count=len(ordered),
        names=names,
        tables=lookup_names(shapes, recipe.quantize),
        seed=LABEL_SEED,
        device=device,
        numbers=[unit.number for unit in ordered],
    )
    return Calibration(hessians=hessians, moments=moments)


def _by_rank(units: Sequence[Unit]) -> list[Unit]:
    return sorted(units, key=lambda unit: (unit.rank, unit.micro))


def _batches(fresh: LoaderOf, units: Sequence[Unit]) -> Iterator[Batch]:
    """The units' micro-batches, by rank, then in order; those between are walked over without reading them."""
    loader, rank, micro = None, -1, 0
    for unit in _by_rank(units):
        if loader is None or unit.rank != rank:
            loader, rank, micro = fresh(unit.rank), unit.rank, 0
        for _ in range(unit.micro - micro):
            loader.next_windows()
        yield loader.next_batch()
        micro = unit.micro + 1


def _merged(own: HessianSum, ranks: Ranks, device: torch.device) -> HessianSum:
    distinct = {name: t.to(device) for name, t in own.distinct().items()}
    ranks.sum_tensors(list(distinct.values()))
    merged = {name: t.cpu() for name, t in distinct.items()}
    return HessianSum.shared(merged, own.aliases(), own.batches * ranks.world)


def _merged_moments(own: MomentSum, ranks: Ranks, device: torch.device) -> MomentSum:
    """Every rank has seen as many tokens as we have."""
    outputs = {name: t.to(device) for name, t in own.outputs.items()}
    lookups = {name: t.to(device) for name, t in own.lookups.items()}
    ranks.sum_tensors([*outputs.values(), *lookups.values()])
    return MomentSum(
        outputs={name: t.cpu() for name, t in outputs.items()},
        visits={name: visits * ranks.world for name, visits in own.visits.items()},
        lookups={name: t.cpu() for name, t in lookups.items()},
        tokens=own.tokens * ranks.world,
    )
