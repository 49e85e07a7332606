"""A model read back from its artifact: the only one that a final score may come from.

Source: REFERENCE 8.6 and 7.3 (a freshly built model with the precision policy, strict loading, the recurrence of the
end of training); ARCHITECTURE ("evaluate always loads the artifact from its file").
"""

from __future__ import annotations

from pathlib import Path

import torch

from recur.artifact.decode import decode_state
from recur.artifact.reading import load_artifact
from recur.config import Recipe
from recur.errors import RecipeError
from recur.model.build import apply_precision
from recur.model.gpt import GPT


def load_model(path: Path, recipe: Recipe, device: torch.device | str, *, recurrence: bool) -> GPT:
    """The model in an artifact file, in evaluation mode.

    Args:
        path: the artifact.
        recipe: the one that wrote it (shapes, precision, compressor).
        device: where the model goes.
        recurrence: whether the second visit of the recurrent layers is on; as at the end of training.

    Raises:
        ArtifactError: a file that is missing, damaged or not of this recipe.
        RecipeError: recurrence asked of a recipe without recurrent layers.
    """
    if recurrence and not recipe.model.recurrent_layers:
        raise RecipeError("recurrence=True", "needs model.recurrent_layers", "switch it off for this recipe")
    content = load_artifact(path, recipe.artifact)
    with torch.random.fork_rng(devices=[]):  # construction draws from the CPU generator; the caller's stays as it is
        model = GPT(recipe.model)
    apply_precision(model, recipe.train.precision)
    template = model.state_dict()
    dtypes = {name: tensor.dtype for name, tensor in template.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in template.items()}
    model.load_state_dict(decode_state(content, dtypes, shapes), strict=True)
    model.set_recurrence(recurrence)
    return model.to(device).eval()
