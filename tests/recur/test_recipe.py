"""Profiles, overrides and what a bad recipe says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from recur.config import ModelConfig, OptimConfig, Recipe
from recur.errors import RecipeError
from recur.recipe import fingerprint, load_recipe, profile_names, recipe_from_json, recipe_to_json


def test_every_shipped_profile_loads_and_survives_json() -> None:
    assert {"record_1421", "record_1334", "recur", "smoke", "smoke_recur"} <= set(profile_names())
    for name in profile_names():
        recipe = load_recipe(name)
        assert recipe_from_json(recipe_to_json(recipe)) == recipe


def test_record_1421_is_the_reference_with_its_defects_named() -> None:
    recipe = load_recipe("record_1421")
    assert recipe.model == ModelConfig(dead_skips=True)
    assert recipe.optim == dataclasses.replace(OptimConfig(), frozen_projections=True)
    assert (recipe.quantize.scale_floor, recipe.quantize.candidate_error) == (True, "mse")
    assert (recipe.quantize.hessian_ranks, recipe.artifact.code_bytes) == ("rank0", 83_566)


def test_record_1334_differs_in_ema_shards_and_code_bytes_only() -> None:
    base, other = load_recipe("record_1421"), load_recipe("record_1334")
    restored = dataclasses.replace(
        other,
        profile=base.profile,
        optim=dataclasses.replace(other.optim, ema_decay=0.9965),
        data=dataclasses.replace(other.data, train_shards=143),
        artifact=dataclasses.replace(other.artifact, code_bytes=83_566),
    )
    assert (other.optim.ema_decay, restored) == (0.997, base)


def test_overrides_are_typed_and_merged() -> None:
    recipe = load_recipe("smoke", ["train.steps=7", "model.recurrent_layers=[2, 3]", "cluster.backend=gloo"])
    assert (recipe.train.steps, recipe.model.recurrent_layers) == (7, (2, 3))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.stesp=3", "did you mean train.steps"),
        ("train.steps=0", "greater than 0"),
        ("train.steps=many", "valid integer"),
        ("train", "section.key=value"),
        ("train.batch_tokens=5000", "nearest: 4992"),
        ("cluster.workers=3", "must divide train.micro_batches=2"),
        ("model.heads=5", "multiple of model.heads=5"),
        ("model.block=os", "choose one of transformer"),
        ("model.recurrent_layers=[5, 4]", "rising layer indices"),
        ("optim.ema_decay=nan", "finite"),
        ("evaluate.stride=500", "at most evaluate.seq_len=64"),
        ("cluster.backend=nccl", "needs GPUs"),
        ("train.steps=2026-01-01", "train.steps='2026-01-01' is refused"),
        ("data.docs=[2026-01-01]", "data.docs"),
    ],
)
def test_a_bad_override_gets_one_line_with_value_rule_and_remedy(override: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("smoke", [override])
    line = str(caught.value)
    assert says in line and "\n" not in line and "; " in line


def test_unknown_profile_suggests_the_near_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'smoke'"):
        load_recipe("smoek")


def test_a_profile_file_may_extend_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "smoke"\n[train]\nsteps = 3\n')
    recipe = load_recipe(str(path))
    assert (recipe.profile, recipe.train.steps, recipe.model.width) == ("mine", 3, load_recipe("smoke").model.width)


def test_broken_profile_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[train\nsteps=")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(str(path))


def test_a_profile_file_extends_one_beside_it_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base.toml").write_text('extends = "smoke"\n[train]\nsteps = 3\n')
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\n')
    monkeypatch.chdir("/")
    assert load_recipe(tmp_path / "mine.toml").train.steps == 3


@pytest.mark.parametrize(
    ("blob", "told"),
    [
        (b'extends = "mine.toml"\n', "extends itself"),
        (b'extends = "../mine/mine.toml"\n', "extends itself"),
        (b'extends = ["smoke"]\n', "must be one name or path in quotes"),
        (b'extends = "nothing.toml"\n', "is not a file"),
        ('extends = "smoke" # \u00e9'.encode("latin-1"), "cannot be read as text"),
        (b'extends = "smoke"\n[train]\nsteps = 2026-01-01\n', "train.steps='2026-01-01' is refused"),
    ],
)
def test_a_profile_file_that_is_none_is_one_line(tmp_path: Path, blob: bytes, told: str) -> None:
    path = tmp_path / "mine" / "mine.toml"
    path.parent.mkdir()
    path.write_bytes(blob)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_fingerprint_follows_recipe_and_data_only() -> None:
    a, b = load_recipe("smoke"), load_recipe("smoke", ["train.steps=7"])
    assert fingerprint(a, "x") == fingerprint(load_recipe("smoke"), "x")
    assert len({fingerprint(a, "x"), fingerprint(b, "x"), fingerprint(a, "y")}) == 3


def test_recipes_are_frozen() -> None:
    recipe: Recipe = load_recipe("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.train.steps = 3  # type: ignore[misc]
