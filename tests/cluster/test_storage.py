"""The output folder: absolute, writable, roomy, and driven by one process."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

from cluster.storage import absolute_out, bytes_per_parameter, check_room, check_writable, matrix_parameters, sole_driver
from recur.errors import StorageError
from recur.model.build import template_shapes
from recur.recipe import load_recipe, override
from tests.cluster.kit import ROOT
from tests.recipes import tiny_recipe


def test_the_default_is_a_folder_in_the_home_directory(tmp_path: Path) -> None:
    assert absolute_out(None, tmp_path, in_job=True) == tmp_path / "recur-results"


def test_a_relative_folder_is_resolved_here_and_refused_inside_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_out(Path("results"), tmp_path, in_job=False) == tmp_path / "results"
    with pytest.raises(StorageError, match="vanishes with it; give an absolute folder"):
        absolute_out(Path("results"), tmp_path, in_job=True)


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_below_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="is not writable"):
        check_writable(tmp_path / "file" / "out")


def test_more_seeds_than_the_disk_holds_are_refused_before_the_first(tmp_path: Path) -> None:
    check_room(tmp_path, tiny_recipe(), 3)
    with pytest.raises(StorageError, match="free space there"):
        check_room(tmp_path, tiny_recipe(), 10**9)


def test_checkpoints_of_research_need_room_unless_they_lie_elsewhere() -> None:
    record, research = tiny_recipe(), tiny_recipe("mode=research")
    assert bytes_per_parameter(research) > bytes_per_parameter(record)
    assert bytes_per_parameter(research, elsewhere=True) == bytes_per_parameter(record)
    two = tiny_recipe("mode=research", "cluster.workers=2", "train.checkpoints_kept=3")
    assert bytes_per_parameter(two) == 11 + 4 * (13 + 5)


@pytest.mark.parametrize("profile", ["record_1421", "recur", "smoke", "smoke_recur"])
@pytest.mark.parametrize("overrides", [(), ("model.tied_embeddings=false", "model.embedding_width=32", "model.mlp_mult=2.5")])
def test_parameters_counted_by_hand_are_those_of_the_model(profile: str, overrides: tuple[str, ...]) -> None:
    recipe = override(load_recipe(profile), overrides)
    counted = matrix_parameters(recipe.model)
    made = sum(prod(shape) for shape in template_shapes(recipe.model).values())
    assert counted <= made <= 1.02 * counted


def test_the_script_that_prepares_a_sweep_starts_without_torch() -> None:
    code = "import sys, jobs.prepare; print({'torch', 'ray', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def _drive(root: Path, answer: multiprocessing.Queue[str]) -> None:
    try:
        with sole_driver(root):
            answer.put("drives")
    except StorageError as error:
        answer.put(str(error))


def test_a_second_process_cannot_drive_the_same_sweep(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    with sole_driver(tmp_path):
        other = context.Process(target=_drive, args=(tmp_path, answer))
        other.start()
        told = answer.get(timeout=20)
        other.join()
    assert "is driven by another process" in told
    with sole_driver(tmp_path):
        assert (tmp_path / "driver.lock").exists()
