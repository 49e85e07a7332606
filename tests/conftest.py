"""Fixtures that several rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.data.corpus import prepare
from recur.data.dataset import Dataset
from tests.recipes import tiny_recipe


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The embedded text with a vocabulary of 512, prepared once."""
    recipe = tiny_recipe()
    root: Path = tmp_path_factory.mktemp("datasets")
    return prepare(recipe.data, recipe.model.vocab_size, out_root=root, train_seq_len=recipe.model.train_seq_len)
