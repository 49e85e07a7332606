"""The one seed that really runs for the tests of the record folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from tests.recur.record.folder.kit import copy_sweep, real_sweep


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Dataset) -> Path:
    """A sweep of one seed; its folder must stay as it is."""
    return real_sweep(tmp_path_factory.mktemp("record_folder"), tiny_dataset)


@pytest.fixture
def three(real: Path, tmp_path: Path) -> Path:
    """A sweep of three seeds, made from the real one."""
    return copy_sweep(real, tmp_path / "out" / "tiny-sweep")
