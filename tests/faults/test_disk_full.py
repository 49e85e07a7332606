"""A full disk wherever a seed writes: one clear line, nothing half-written taken as whole, and on it goes when there is room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.launch import place_attempt
from recur.data.dataset import Dataset
from recur.errors import StorageError
from recur.pipeline import LocalBackend, run_seed
from recur.pipeline.training import CHECKPOINTS
from recur.record.attempt import AttemptDir, write_seed_result
from recur.record.plots import read_histories, write_plots
from recur.record.report import write_sweep
from recur.record.result import SeedResult, State, summarise
from recur.seedspec import PHASES, SeedSpec
from tests.api.volume import measured
from tests.recipes import tiny_recipe
from tests.small_disk import small_disk

DISK_KIB = 24 << 10
SEED = 11


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    with small_disk(tmp_path / "disk", DISK_KIB) as folder:
        yield folder


def leave(disk: Path, free_kib: int) -> Path:
    """Take all the room but so much."""
    ballast, room = disk / "ballast", shutil.disk_usage(disk).free - (free_kib << 10)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(room, 1))
    return ballast


def everything(spec: SeedSpec) -> SeedResult:
    """All that one seed writes: its phases, its result, and what is made of it."""
    result = run_seed(spec, LocalBackend())
    write_seed_result(spec.sweep_root, result)
    sweep = summarise(spec.sweep, spec.recipe.profile, "fingerprint", [result])
    write_sweep(spec.sweep_root, sweep)
    write_plots(spec.sweep_root, sweep, read_histories(spec.sweep_root, sweep))
    return result


def written(folder: Path) -> int:
    """KiB that a folder holds, without the checkpoints of research mode, which it can do without."""
    files = [path for path in folder.rglob("*") if path.is_file() and CHECKPOINTS not in path.parts]
    return sum(path.stat().st_blocks for path in files) // 2


def check_whole_or_absent(attempt: AttemptDir) -> None:
    """Every record that is there has its payloads, and nothing temporary is left."""
    for phase in PHASES:
        attempt.read_record(phase)
    assert not list(attempt.folder.parents[1].rglob("*.tmp"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["record", "research"])
def test_a_full_disk_at_any_write_is_one_line_and_the_seed_goes_on_when_there_is_room(
    mode: str, disk: Path, tmp_path: Path, tiny_dataset: Dataset
) -> None:
    recipe = tiny_recipe(f"mode={mode}", "train.checkpoint_every_s=0", "train.peak_tflops=1.0")

    def spec_of(out: Path) -> SeedSpec:
        return SeedSpec(sweep="swp", seed=SEED, attempt=1, recipe=recipe, dataset_root=tiny_dataset.root, out=out)

    plain = spec_of(tmp_path / "plain")
    whole = everything(plain)
    room = written(plain.sweep_root)
    points, refused = 12, 0
    for point in range(points):
        spec = spec_of(disk / f"run{point}")
        ballast = leave(disk, point * room // points)
        with pytest.raises(StorageError) as full:
            everything(spec)
        assert "\n" not in str(full.value) and str(disk) in str(full.value)
        check_whole_or_absent(spec.attempt_dir)
        refused += 1
        ballast.unlink()
        second = replace(spec, attempt=2)
        place_attempt(second, adopt_from=1)
        again = everything(second)
        assert again.state is State.SUCCEEDED
        assert (again.val_bpb, again.model_sha256) == (whole.val_bpb, whole.model_sha256)
        shutil.rmtree(disk / f"run{point}")
    measured(f"disk_full_{mode}", {"points": points, "refused": refused, "went_on": refused, "room_kib": room})
