"""The sweep that most tests of the record folder write."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from tests.recur.record.folder.kit import SEEDS, TINY_BPB, make_sweep


@pytest.fixture
def three(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    """A sweep of three seeds."""
    return make_sweep(tiny_dataset, tmp_path / "out" / "tiny-sweep", dict(zip(SEEDS, TINY_BPB, strict=True)))
