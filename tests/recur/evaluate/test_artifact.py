from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recur.artifact.decode import decode_state
from recur.artifact.reading import load_artifact
from recur.errors import ArtifactError, RecipeError
from recur.evaluate.artifact import load_model
from recur.model.build import template_dtypes, template_shapes
from tests.recur.evaluate.attempts import random_state, tiny_recipe, write_attempt

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loaded_weights_are_the_decoded_ones_in_the_precision_of_training(tmp_path: Path, precision: str) -> None:
    recipe = tiny_recipe(f"train.precision={precision}")
    path = write_attempt(tmp_path / "a1", recipe, tmp_path)
    model = load_model(path, recipe, CPU, recurrence=True)
    dtypes = template_dtypes(recipe.model, precision)
    decoded = decode_state(load_artifact(path, recipe.artifact), dtypes, template_shapes(recipe.model))
    state = model.state_dict()
    assert list(state) == list(decoded)
    assert all(torch.equal(state[n], t) and state[n].dtype == t.dtype == dtypes[n] for n, t in decoded.items())
    assert (state["tok_emb.weight"].dtype is torch.bfloat16) == (precision == "bf16")


def test_loaded_weights_are_close_to_the_ones_that_were_quantized(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    model = load_model(write_attempt(tmp_path / "a1", recipe, tmp_path), recipe, CPU, recurrence=True)
    for name, before in random_state(recipe).items():
        # a step is at most 1/31 of the row's maximum or the reference's floor 1/31, and rounding errs by half of it
        bound = max(float(before.abs().max()), 1.0) / 31
        assert float((model.state_dict()[name] - before).abs().max()) <= bound, name


def test_recurrence_and_mode_are_those_of_the_end_of_training(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = write_attempt(tmp_path / "a1", recipe, tmp_path)
    for recurrence in (True, False):
        model = load_model(path, recipe, CPU, recurrence=recurrence)
        assert model.recurrence_active is recurrence
        assert not model.training


def test_loading_leaves_the_random_generator_as_it_was(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = write_attempt(tmp_path / "a1", recipe, tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_model(path, recipe, CPU, recurrence=True)
    assert torch.equal(torch.rand(4), expected)


def test_an_artifact_of_another_recipe_is_refused(tmp_path: Path) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), tmp_path)
    for other in (tiny_recipe("model.mlp_mult=2.0"), tiny_recipe("model.layers=5")):
        with pytest.raises(ArtifactError):
            load_model(path, other, CPU, recurrence=True)


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        load_model(tmp_path / "none.ptz", tiny_recipe(), CPU, recurrence=True)


def test_recurrence_without_recurrent_layers_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    path = write_attempt(tmp_path / "a1", recipe, tmp_path)
    flat = replace(recipe, model=replace(recipe.model, recurrent_layers=()))
    with pytest.raises(RecipeError, match="recurrent_layers"):
        load_model(path, flat, CPU, recurrence=True)
