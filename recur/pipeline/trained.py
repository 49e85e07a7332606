"""The trained model of an attempt, before any quantization: from its checkpoint, ready to run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from recur.config import Recipe
from recur.model.backend import choose_backend, use_backend
from recur.model.build import build_model
from recur.model.gpt import GPT
from recur.train.checkpoint import load_ema


def trained_model(folder: Path, recipe: Recipe, device: torch.device, *, recurrence: bool) -> GPT:
    """A fresh model with the EMA weights; the recipe's attention kernel is chosen.

    Args:
        folder: the attempt's.
        recipe: the one that was trained.
        device: where the model goes.
        recurrence: whether the recurrent layers are visited twice.

    Raises:
        ArtifactError: the checkpoint is missing or damaged.
    """
    return ema_model(load_ema(folder), recipe, device, recurrence=recurrence)


def ema_model(ema: dict[str, Tensor], recipe: Recipe, device: torch.device, *, recurrence: bool) -> GPT:
    """`trained_model` for EMA weights at hand."""
    use_backend(choose_backend(recipe.train.attention, device, recipe.train.precision))
    model = build_model(recipe.model, seed=0, precision=recipe.train.precision, device=device)
    model.load_state_dict(ema)
    model.set_recurrence(recurrence)
    return model
