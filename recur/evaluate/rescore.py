"""Scoring an artifact from its file again: what it was made from, and its score under any window plan.

The attempt's folder holds, beside the artifact, spec.json (recipe and dataset) and train.json (whether the recurrence
was on at the end of training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recur.config import Recipe
from recur.data.dataset import load_dataset, validation_tokens
from recur.errors import ArtifactError, DataError
from recur.evaluate.artifact import load_model
from recur.evaluate.bpb import Score
from recur.evaluate.runner import evaluate_part
from recur.model.backend import choose_backend, use_backend
from recur.recipe import override
from recur.record.atomic import read_json
from recur.seedspec import SPEC_FILE, load_spec
from recur.train.checkpoint import SUMMARY_FILE


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What an artifact was made from.

    Attributes:
        recipe: the run's recipe.
        dataset_root: folder of the dataset it was trained on.
        recurrence: whether the recurrent layers were visited twice at the end of training.
    """

    recipe: Recipe
    dataset_root: Path
    recurrence: bool


def read_provenance(artifact: Path) -> Provenance:
    """Read spec.json and train.json beside ``artifact``.

    Raises:
        ArtifactError: the artifact or one of the files is missing or not what it should be.
        RecipeError: the recipe in spec.json is not valid.
    """
    if not artifact.is_file():
        raise ArtifactError(str(artifact), "is not a file", "give the path of an artifact inside its attempt folder")
    spec = load_spec(artifact.parent / SPEC_FILE)
    return Provenance(recipe=spec.recipe, dataset_root=spec.dataset_root, recurrence=_recurrence(artifact.parent))


def _recurrence(attempt: Path) -> bool:
    path = attempt / SUMMARY_FILE
    try:
        tree: Any = read_json(path)
        return bool(tree["summary"]["recurrence_active"])
    except FileNotFoundError as error:
        raise ArtifactError(str(path), "does not exist", "give an artifact inside its attempt folder a<k>/") from error
    except (KeyError, TypeError) as error:
        raise ArtifactError(str(path), f"is no training summary (lacks {error})", "run the seed again") from error


def with_context(recipe: Recipe, context_tokens: int) -> Recipe:
    """The recipe with windows of ``context_tokens`` and a stride no longer than that; errors as `recur.recipe.override`."""
    stride = min(recipe.evaluate.stride, context_tokens)
    return override(recipe, [f"evaluate.seq_len={context_tokens}", f"evaluate.stride={stride}"])


def rescore(
    artifact: Path,
    source: Provenance,
    *,
    modes: Sequence[str],
    context_tokens: int | None,
    device: torch.device,
) -> dict[str, Score]:
    """Score an artifact, read from its file, in each of ``modes``.

    Args:
        source: recipe (its ``evaluate`` branch sets the windows), dataset and recurrence.
        context_tokens: another window length; the stream stays that of the recipe, so that contexts which divide its
            window length are compared on the same targets.
        device: where to run.

    Raises:
        ArtifactError: the artifact cannot be read with this recipe.
        DataError: the dataset is damaged, of another vocabulary, or shorter than a window.
        RecipeError: an unknown mode, or windows that contradict the recipe.
    """
    recipe = source.recipe if context_tokens is None else with_context(source.recipe, context_tokens)
    dataset = load_dataset(source.dataset_root)
    if dataset.vocab_size != recipe.model.vocab_size:
        value = f"dataset {source.dataset_root} vocab_size={dataset.vocab_size}"
        raise DataError(value, f"must be model.vocab_size={recipe.model.vocab_size}", "give the run's own dataset")
    tokens, table = validation_tokens(dataset, source.recipe.evaluate.seq_len), dataset.byte_table()
    use_backend(choose_backend(recipe.train.attention, device, recipe.train.precision))
    model = load_model(artifact, recipe, device, recurrence=source.recurrence)
    precision = recipe.train.precision
    return {
        mode: evaluate_part(model, tokens, table, recipe.evaluate, mode, device=device, precision=precision).score
        for mode in modes
    }
