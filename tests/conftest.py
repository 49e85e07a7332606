"""Fixtures that several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.data.corpus import prepare
from recur.data.dataset import Dataset
from recur.pipeline import LocalBackend, run_seed
from recur.record.result import SeedResult
from recur.seedspec import SeedSpec
from tests.recipes import tiny_recipe
from tests.solved import solved_spec


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The embedded text with a vocabulary of 512, prepared once."""
    recipe = tiny_recipe()
    root: Path = tmp_path_factory.mktemp("datasets")
    return prepare(recipe.data, recipe.model.vocab_size, out_root=root, train_seq_len=recipe.model.train_seq_len)


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Dataset) -> tuple[SeedSpec, SeedResult]:
    """One seed of our own pipeline (`artifact.fit = "solve"`), trained and run once; its folder must stay as it is."""
    spec = solved_spec(tmp_path_factory.mktemp("solved"), tiny_dataset)
    return spec, run_seed(spec, LocalBackend())
