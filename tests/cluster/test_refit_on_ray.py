"""Calibration, preparing, rounding and coding as tasks of a real Ray give the artifact that one process gives."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from cluster.fanout import RayBackend
from recur.pipeline import LocalBackend
from recur.pipeline.backend import Backend
from recur.pipeline.refit import Refit, refit
from recur.record.result import SeedResult
from recur.seedspec import SeedSpec
from tests.cluster.kit import ROOT, clean_environment, named, script, short_folder, wait_for

pytestmark = pytest.mark.ray


@pytest.fixture
def small_ray() -> Iterator[None]:
    patch, threads = pytest.MonkeyPatch(), torch.get_num_threads()
    patch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    torch.set_num_threads(1)  # as Ray gives its tasks: sums of matrix products depend on it in their last bits
    yield
    torch.set_num_threads(threads)
    ray.shutdown()
    patch.undo()


def refitted(source: SeedSpec, out: Path, backend: Backend) -> Refit:
    return refit(source, source.recipe, out=out, sweep="swp", backend=backend, recalibrate_shares=2, held_out_tokens=512)


@pytest.mark.usefixtures("small_ray")
def test_a_refit_on_ray_gives_the_same_artifact_as_in_this_process(solved: tuple[SeedSpec, SeedResult], tmp_path: Path) -> None:
    spec, _ = solved
    here = refitted(spec, tmp_path / "here", LocalBackend())
    there = refitted(spec, tmp_path / "there", RayBackend(spec.recipe.cluster))
    assert there.result.model_sha256 == here.result.model_sha256
    assert there.compressions == here.compressions
    assert there.result.val_bpb == here.result.val_bpb


def test_the_script_starts_a_ray_of_its_own_and_leaves_nothing_of_it(solved: tuple[SeedSpec, SeedResult], tmp_path: Path) -> None:
    with short_folder() as home:
        args = [str(solved[0].attempt_dir.folder), "--refit", "--ray", "--recalibrate", "2", "--out", str(tmp_path), "--json"]
        command = script("jobs/evaluate.py", *args)
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environment(home), capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["state"], found["slack_bytes"] > 0) == ("SUCCEEDED", True)
        wait_for(lambda: not named(str(home)), 30)
