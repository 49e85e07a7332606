"""Runs that were started without the service become sweeps of it: from their folders alone, and from a real Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.client import Client, watch
from api.service.adopting import DriverLives, Run, adopt_run
from api.store import Store, attempts, open_store, sweeps
from api.store.adopting import NEVER
from api.store.rows import Pool
from cluster.diagnose import Answer
from cluster.failure import Spent
from cluster.job_client import JobsUnreachable
from cluster.storage import sole_driver
from cluster.submission import find_run
from recur.data.dataset import Dataset
from recur.errors import InputError
from recur.recipe import recipe_to_json
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir, write_seed_result
from recur.record.report import read_sweep
from recur.record.result import SeedResult, State
from recur.seedspec import SPEC_FILE, SWEEP_SPEC_FILE
from tests.api.cli.kit import recur
from tests.api.cli.upkit import up
from tests.cluster.kit import ROOT, leave_result, ray_head, set_flags, short_folder, wait_for
from tests.recipes import tiny_recipe

NOW = 2_000_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'service.sqlite'}")
    yield opened
    opened.close()


def run_folder(out: Path, *seeds: int, name: str = "a-run") -> Path:
    """A run that was prepared and has begun nothing."""
    root = out / name
    spec = {"sweep": name, "seeds": list(seeds), "fingerprint": "f" * 64, "dataset_root": "/data", "note": "a note"}
    write_json_atomic(root / SWEEP_SPEC_FILE, {**spec, "recipe": json.loads(recipe_to_json(tiny_recipe()))})
    return root


def begin(root: Path, seed: int, attempt: int = 1) -> AttemptDir:
    folder = AttemptDir(root, seed, attempt).create()
    write_json_atomic(folder.path(SPEC_FILE), {})
    return folder


def adopt(store: Store, root: Path, **changes: object) -> str:
    run = Run(root=root, submission="raysubmit_1", **changes)  # type: ignore[arg-type]
    return adopt_run(store, root.parent, run, ageing_s=3600, clock=lambda: NOW).sweep


def states(store: Store, sweep: str) -> dict[int, tuple[str, int, str | None]]:
    with store.read() as c:
        return {row.seed: (row.state, row.attempt, row.reason) for row in attempts.current(c, sweep)}


def test_a_run_becomes_a_sweep_with_what_its_driver_had_prepared(store: Store, tmp_path: Path) -> None:
    sweep = adopt(store, run_folder(tmp_path, 42, 1337))
    with store.read() as c:
        row = sweeps.get(c, sweep)
    assert row is not None
    assert (row.sweep, row.profile, row.seeds, row.pool, row.note) == ("a-run", "smoke", (42, 1337), Pool.CPU, "a note")
    assert (row.fingerprint, row.dataset_root, row.prepared_at) == ("f" * 64, "/data", NOW)
    assert row.request_id == "adopted raysubmit_1"
    assert states(store, sweep) == {42: ("QUEUED", 1, None), 1337: ("QUEUED", 1, None)}


def test_each_seed_stands_where_its_folder_says(store: Store, tmp_path: Path) -> None:
    root = run_folder(tmp_path, 1, 2, 3, 4, 5)
    leave_result(begin(root, 1))
    begin(root, 2)
    begin(root, 3)
    write_seed_result(root, SeedResult(seed=3, state=State.FAILED, attempt=1, error="out of memory"))
    begin(root, 4)
    begin(root, 4, attempt=2)
    sweep = adopt(store, root)
    assert states(store, sweep) == {
        1: ("RUNNING", 1, None),  # its result is taken in by the reconciler, which checks it
        2: ("RUNNING", 1, None),
        3: ("FAILED", 1, "out of memory"),
        4: ("RUNNING", 2, None),
        5: ("QUEUED", 1, None),
    }
    with store.read() as c:
        assert attempts.held(c, Pool.CPU) == 3
        ids = [row.job_id for row in attempts.history(c, sweep)]
    assert ids == ["a-run-s1-a1", "a-run-s2-a1", "a-run-s3-a1", "a-run-s4-a1", "a-run-s4-a2", "a-run-s5-a1"]


def test_nothing_in_the_folder_is_changed(store: Store, tmp_path: Path) -> None:
    root = run_folder(tmp_path, 1, 2)
    leave_result(begin(root, 1))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    adopt(store, root)
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != "driver.lock"}
    assert before == after


def test_while_its_driver_lives_a_run_is_adopted_once_all_seeds_have_begun(store: Store, tmp_path: Path) -> None:
    root = run_folder(tmp_path, 1, 2)
    begin(root, 1)
    with sole_driver(root):
        with pytest.raises(DriverLives, match=r"has not begun \(2\); add --wait"):
            adopt(store, root)
        begin(root, 2)
        sweep = adopt(store, root)
    with store.read() as c:
        assert {row.had for row in attempts.current(c, sweep)} == {
            Spent(lost=NEVER, preempted=NEVER)
        }  # a lost seed is the driver's to replace


def test_a_driver_that_only_ray_knows_of_counts_too(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DriverLives):
        adopt(store, run_folder(tmp_path, 1), driver_lives=True)


def test_a_run_that_is_in_the_table_is_refused(store: Store, tmp_path: Path) -> None:
    root = run_folder(tmp_path, 1)
    adopt(store, root)
    with pytest.raises(InputError, match="in the table already"):
        adopt(store, root)


@pytest.mark.parametrize("name", ["A-run", "-run", "a_run", "x" * 46])
def test_a_name_that_the_service_does_not_take_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="at most 45"):
        adopt(store, run_folder(tmp_path, 1, name=name))


def test_a_run_of_another_folder_is_refused(store: Store, tmp_path: Path) -> None:
    root = run_folder(tmp_path / "elsewhere", 1)
    with pytest.raises(InputError, match="--out"):
        adopt_run(store, tmp_path, Run(root=root), ageing_s=3600)


def test_a_folder_that_is_no_run_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=SWEEP_SPEC_FILE):
        adopt(store, tmp_path / "empty")
    write_json_atomic(tmp_path / "other" / SWEEP_SPEC_FILE, {"seeds": [1]})
    with pytest.raises(InputError, match="not a sweep's spec"):
        adopt(store, tmp_path / "other")


def found(entrypoint: str, log: str = "", status: str = "RUNNING") -> tuple[Path, bool]:
    job = json.dumps({"entrypoint": entrypoint, "status": status, "metadata": {}})
    run = find_run("raysubmit_1", lambda path: Answer(status=200, text=job), lambda job: log)
    return run.root, run.driver_lives


def test_a_driver_s_run_is_found_in_its_log() -> None:
    log = "ray joined: dashboard x\nsweep a-run: 3 seeds, 1 at a time, results in /out/a run/a-run\nmore\n"
    assert found("python jobs/record.py", log) == (Path("/out/a run/a-run"), True)
    assert found("python jobs/record.py", log, "SUCCEEDED") == (Path("/out/a run/a-run"), False)


def test_a_seed_s_run_is_found_in_its_command_line() -> None:
    line = "/venv/bin/python jobs/seed.py --spec '/my out/a-run/seed_42/a1/spec.json'"
    assert found(line) == (Path("/my out/a-run"), False)


@pytest.mark.parametrize("log", ["", "sweep a-run: 3 seeds, 1 at a time, results in nowhere\n"])
def test_a_job_that_is_no_run_of_ours_is_refused(log: str) -> None:
    with pytest.raises(InputError, match="results in FOLDER"):
        found("python other.py", log)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(status=404, text=""), InputError, "not known to this Ray"),
        (Answer(status=401, text=""), InputError, "RAY_AUTH_TOKEN"),
        (Answer(status=None, text="refused"), JobsUnreachable, "refused"),
        (Answer(status=200, text="<html>"), JobsUnreachable, "does not answer"),
        (Answer(status=500, text=""), JobsUnreachable, "500"),
    ],
)
def test_what_ray_says_instead_is_told(answer: Answer, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        find_run("raysubmit_1", lambda path: answer, lambda job: "")


@pytest.mark.parametrize("submission", ["../x", "a b", "", "x" * 200])
def test_an_id_that_is_none_never_reaches_ray(submission: str) -> None:
    with pytest.raises(InputError, match="is none"):
        find_run(submission, lambda path: pytest.fail("asked"), lambda job: "")


@pytest.mark.ray
@pytest.mark.service
@pytest.mark.timeout(600)
def test_a_real_ray_job_submit_is_adopted_while_it_runs_and_ends_in_its_own_numbers(tiny_dataset: Dataset) -> None:
    with short_folder() as folder, ray_head(cpus=2) as head:
        out = folder / "out"
        ray = str(Path(sys.executable).with_name("ray"))
        flags = ["--address", head.dashboard, "--working-dir", ".", "--submission-id", "mine", "--no-wait"]
        script = ["python", "jobs/record.py", *set_flags("cluster.workers=1"), "--seeds", "1,2", "--out", str(out)]
        line = [ray, "job", "submit", *flags, "--", *script, "--data", str(tiny_dataset.root), "--sweep", "by-hand"]
        subprocess.run(line, env=dict(head.environment), cwd=ROOT, check=True, capture_output=True, timeout=120)
        with up(out, "--dashboard", head.dashboard, RAY_AUTH_MODE="disabled") as service:
            env = {**service.environment, "RAY_AUTH_MODE": "disabled", "HOME": str(folder)}
            wait_for(lambda: (out / "by-hand" / SWEEP_SPEC_FILE).exists(), 120)
            early = recur("adopt", "mine", "--dashboard", head.dashboard, env=env)
            done = recur("adopt", "mine", "--dashboard", head.dashboard, "--wait", "--json", env=env)
            assert done.returncode == 0, done.stderr
            assert early.returncode == 2 and "add --wait" in early.stderr
            assert json.loads(done.stdout) == {"sweep": "by-hand", "seeds": [1, 2], "profile": "smoke"}
            with Client(service.places["page"]) as client:
                ended = watch(client, "by-hand")
                wait_for(lambda: client.sweep("by-hand").reported_at, 60)
            again = recur("adopt", str(out / "by-hand"), env=env)
        written = read_sweep(out / "by-hand" / "sweep.json")
    assert ended.state == "SUCCEEDED", ended
    assert [seed.val_bpb.sliding for seed in ended.seeds] == [seed.val_bpb.sliding for seed in written.seeds]
    assert ended.statistics.mean_val_bpb == written.mean_val_bpb
    assert {seed.attempt for seed in ended.seeds} == {1}
    assert (again.returncode, "in the table already" in again.stderr) == (2, True)
