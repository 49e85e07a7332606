"""What torch compiled is left for the next seed and found by it; a file that is of no use does no harm.

torch's own part stands in here, since building a graph takes long; `python -m benchmarks --only compile` has the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cluster.compile_cache import FOLDER, cache_file, travelling_graphs
from tests.recipes import tiny_recipe

CPU = torch.device("cpu")
RECIPE = tiny_recipe("train.compile=true")


class Torch:
    """Torch's cache: what is compiled in this process, and what was loaded into it."""

    def __init__(self) -> None:
        self.compiled = b"graphs"
        self.loaded: list[bytes] = []

    def save(self) -> tuple[bytes, None] | None:
        return (self.compiled, None) if self.compiled else None

    def load(self, artifacts: bytes) -> object:
        self.loaded.append(artifacts)
        return "info"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Torch:
    made = Torch()
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", made.save)
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", made.load)
    return made


def seed(out: Path, *, leave: bool = True) -> None:
    with travelling_graphs(out, RECIPE, CPU, leave=leave):
        pass


def test_graphs_are_left_once_and_found(tmp_path: Path, cache: Torch) -> None:
    seed(tmp_path)
    left = cache_file(tmp_path, RECIPE, CPU).read_bytes()
    cache.compiled = b"others"
    seed(tmp_path)
    assert cache.loaded == [b"graphs"]
    assert cache_file(tmp_path, RECIPE, CPU).read_bytes() == left


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:40] + b"x" + data[41:] + b"y"])
def test_a_damaged_file_is_not_loaded_and_is_replaced(tmp_path: Path, cache: Torch, damage: Callable[[bytes], bytes]) -> None:
    seed(tmp_path)
    path = cache_file(tmp_path, RECIPE, CPU)
    left = path.read_bytes()
    path.write_bytes(damage(left))
    seed(tmp_path)
    assert not cache.loaded
    assert path.read_bytes() == left


def test_nothing_is_left_by_other_ranks_without_compiling_or_by_a_seed_that_failed(tmp_path: Path, cache: Torch) -> None:
    seed(tmp_path, leave=False)
    with travelling_graphs(tmp_path, tiny_recipe(), CPU, leave=True):
        pass
    with pytest.raises(ZeroDivisionError), travelling_graphs(tmp_path, RECIPE, CPU, leave=True):
        1 / 0
    cache.compiled = b""
    seed(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path, cache: Torch) -> None:
    (tmp_path / FOLDER).write_text("a file")
    seed(tmp_path)
    assert (tmp_path / FOLDER).read_text() == "a file"


def test_another_recipe_has_another_file(tmp_path: Path) -> None:
    assert cache_file(tmp_path, RECIPE, CPU) != cache_file(tmp_path, tiny_recipe("train.compile=true", "train.steps=7"), CPU)
