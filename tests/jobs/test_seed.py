"""`jobs/seed.py`: one seed without Ray, the same folder as a sweep's; and what a seed's job does with bad news."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ray.exceptions import AuthenticationError

from cluster import seed_job
from cluster.failure import Cause
from cluster.outcome import mark_cancelled, read_failure
from cluster.preparing import write_sweep_spec
from jobs import seed
from jobs.errors import run_app
from recur.data.dataset import Dataset
from recur.errors import ArtifactError
from recur.record.atomic import write_json_atomic
from recur.record.report import read_sweep
from recur.seedspec import SeedSpec, load_spec, save_spec
from tests.cluster.kit import ROOT, clean_environment, script
from tests.recipes import TINY, tiny_recipe


def test_one_seed_in_one_process_leaves_a_whole_sweep_and_prints_its_table(tmp_path: Path, tiny_dataset: Dataset) -> None:
    flags = ["--profile", "smoke", *(part for value in TINY for part in ("--set", value))]
    flags += ["--seed", "7", "--data", str(tiny_dataset.root), "--out", str(tmp_path), "--sweep", "one"]
    without_ray = clean_environment(tmp_path / "home")
    code = "import sys; sys.modules['ray'] = None; import runpy; runpy.run_path('jobs/seed.py', run_name='__main__')"
    done = subprocess.run(
        [*script("-c", code), *flags], cwd=ROOT, env=without_ray, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "7  SUCCEEDED" in done.stdout
    sweep = read_sweep(tmp_path / "one")
    assert (sweep.n, sweep.seeds[0].seed, sweep.std_val_bpb) == (1, 7, None)
    placement: Any = sweep.seeds[0].placement
    assert (placement["world_size"], placement["backend"], placement["ranks"][0]["device"]) == (1, "local", "cpu")
    names = {p.name for p in (tmp_path / "one" / "seed_7" / "a1").iterdir()}
    assert {"spec.json", "heartbeat.json", "clock.json", "intervals.jsonl", "artifact.ptz", "result.json"} <= names


def test_a_sweeps_job_loads_no_statistics_and_no_plots_before_it_trains() -> None:
    code = "import sys, jobs.seed, cluster.seed_job, cluster.fanout; print({'scipy.stats', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([*script("-c", code)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_an_unknown_profile_is_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["seed.py", "--profile", "smok", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        run_app(seed.app)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def a_spec(out: Path, dataset: Dataset) -> SeedSpec:
    recipe = tiny_recipe()
    return SeedSpec(sweep="swp", seed=7, attempt=1, recipe=recipe, dataset_root=dataset.root, out=out)


def test_a_job_that_starts_after_its_cancel_ends_at_once(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = a_spec(tmp_path, tiny_dataset)
    path = spec.attempt_dir.create().path("spec.json")
    save_spec(path, spec)
    mark_cancelled(spec.attempt_dir)
    assert seed_job.run_spec(path) == 0
    assert not spec.attempt_dir.path("train.json").exists()


def test_a_job_of_another_program_ends_at_once_and_says_so(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = a_spec(tmp_path, tiny_dataset)
    path = spec.attempt_dir.create().path("spec.json")
    save_spec(path, spec)
    write_sweep_spec(spec, (7,), "fingerprint")
    seed_job.check_program(spec)
    begun = json.loads((spec.sweep_root / "sweep_spec.json").read_text())
    write_json_atomic(spec.sweep_root / "sweep_spec.json", begun | {"source_sha256": "0123456789abcdef"})
    assert seed_job.run_spec(path) == seed_job.EXIT_INPUT
    told = read_failure(spec.attempt_dir)
    assert told is not None and told.kind is Cause.INPUT
    assert told.message.startswith("sweep swp was begun with the program 0123456789ab, and this one is ")
    assert not spec.attempt_dir.path("train.json").exists()


def test_a_head_that_was_replaced_is_a_loss_and_no_fault_of_the_program(
    tmp_path: Path, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = a_spec(tmp_path, tiny_dataset)
    path = spec.attempt_dir.create().path("spec.json")
    save_spec(path, spec)

    def replaced() -> NoReturn:
        raise AuthenticationError("RPC error: WrongClusterID: Perhaps the client is accessing GCS after it has restarted.")

    monkeypatch.setattr(seed_job, "join_as_seed_job", replaced)
    monkeypatch.setattr(seed_job, "ORPHANED_WITHIN_S", 0.0)
    with pytest.raises(AuthenticationError):
        seed_job.run_spec(path)
    told = read_failure(spec.attempt_dir)
    assert told is not None
    assert (told.kind, told.message) == (Cause.NODE, "WorkerLost: the seed's job was lost: the cluster's head was replaced")


def test_a_job_leaves_its_failure_for_the_driver(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = replace(a_spec(tmp_path, tiny_dataset), dataset_root=tmp_path / "nowhere")
    error = ValueError("boom\nand more")
    seed_job._leave_failure(spec, error)
    told = read_failure(spec.attempt_dir)
    assert told is not None
    assert (told.kind, told.message) == (Cause.PROGRAM, "ValueError: boom")


def test_a_process_whose_parent_dies_ends_with_it() -> None:
    child = "import time; from cluster.seed_job import _end_with_parent as e; e(0.1); print('up', flush=True); time.sleep(60)"
    parent = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid, flush=True); p.wait()"
    )
    with subprocess.Popen(script("-c", parent), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "up\n"
        process.kill()
        rest = process.stdout.read()  # ends when the child has closed it too
    assert f"orphaned pid={pid}" in rest
    assert not os.path.exists(f"/proc/{pid}/exe")  # noqa: PTH110 - a zombie's exe cannot be resolved


def test_the_spec_survives_the_disk_and_refuses_anything_else(tmp_path: Path, tiny_dataset: Dataset) -> None:
    spec = a_spec(tmp_path, tiny_dataset)
    save_spec(tmp_path / "spec.json", spec)
    assert load_spec(tmp_path / "spec.json") == spec
    document = json.loads((tmp_path / "spec.json").read_text())
    (tmp_path / "spec.json").write_text(json.dumps({k: v for k, v in document.items() if k != "seed"}))
    with pytest.raises(ArtifactError, match="is not a seed's spec"):
        load_spec(tmp_path / "spec.json")
    with pytest.raises(ArtifactError, match="does not exist"):
        load_spec(tmp_path / "none.json")
