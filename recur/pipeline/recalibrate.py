"""Calibration done again from a trained attempt, off the clock, as independent shares of the same micro-batches.

The shares of one set add up (``+``) to what the ranks would have found on the clock, to the last bits of float32: the
same windows of the same ranks, the same sampled labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from recur.config import Recipe
from recur.data.dataset import load_dataset
from recur.model.gpt import GPT
from recur.pipeline.backend import default_device
from recur.pipeline.trained import trained_model
from recur.train.calibrate import Calibration, calibration_units, collect
from recur.train.checkpoint import load_summary
from recur.train.run import training_loader


@dataclass(frozen=True, kw_only=True)
class CalibrateItem:
    """One share of a calibration.

    Attributes:
        folder: the attempt's folder, whose EMA weights are loaded.
        dataset_root: the prepared dataset.
        recipe: its ``quantize`` branch may differ from the one that the attempt was trained with.
        world: ranks whose micro-batches count, as in training (``placement.world_size`` of the train record).
        part, parts: which share.
    """

    folder: Path
    dataset_root: Path
    recipe: Recipe
    world: int
    part: int = 0
    parts: int = 1


def calibrate_share(item: CalibrateItem) -> Calibration:
    """Sums over every ``parts``-th unit of the first calibration and Fisher micro-batches; none left = sums of zero.

    Raises:
        ArtifactError: the attempt's checkpoint is missing or damaged.
        DataError: the dataset is missing or damaged.
    """
    recipe, device, cfg = item.recipe, default_device(), item.recipe.quantize
    fresh = partial(training_loader, recipe, load_dataset(item.dataset_root), item.world)
    units, fisher_units = (
        calibration_units(recipe, item.world, micro_batches)[item.part :: item.parts]
        for micro_batches in (cfg.calibration_batches, cfg.fisher_batches)
    )
    return collect(_model(item, device), fresh, recipe, units, fisher_units, device)


def _model(item: CalibrateItem, device: torch.device) -> GPT:
    """The trained model, recurrence as at the end of training."""
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    return trained_model(item.folder, item.recipe, device, recurrence=load_summary(item.folder).recurrence_active)
