"""Openings of validation shards: logged reading is told from any other, by what the process opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recur.data.dataset import Dataset
from recur.data.opened import OpenedFiles
from recur.data.shards import open_tokens


def test_reading_for_a_logged_validation_is_told_from_any_other(tiny_dataset: Dataset) -> None:
    with OpenedFiles(tiny_dataset.val_paths()) as opened:
        opened.read_validation(tiny_dataset, 32)
        assert opened.validation > 0 and opened.other == 0
        open_tokens(tiny_dataset.val_paths()[0])
        assert opened.other > 0
        before = opened.fields
        open_tokens(tiny_dataset.train_paths()[0])
        assert opened.fields == before
    open_tokens(tiny_dataset.val_paths()[0])
    assert opened.fields == before


def test_every_common_way_to_open_a_file_is_seen(tiny_dataset: Dataset, tmp_path: Path) -> None:
    path = tiny_dataset.val_paths()[0]
    link = tmp_path / "link.bin"
    link.symlink_to(path)
    ways: tuple[Callable[[], object], ...] = (
        lambda: path.read_bytes(),
        lambda: np.fromfile(path, np.uint8),
        lambda: np.memmap(path, np.uint8, mode="r"),
        lambda: link.read_bytes(),
        lambda: open(str(path).encode(), "rb").close(),  # noqa: PTH123 - a path as bytes is one of the ways
    )
    for number, way in enumerate(ways, 1):
        with OpenedFiles([path]) as opened:
            way()
        assert opened.other >= 1, f"way {number}"
