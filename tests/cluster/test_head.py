"""A real head: the sweep as a Ray job of eight ranks a seed, what its dashboard shows, and a driver that dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from cluster.job_client import JobRequest, JobTaken, RayJobs, seed_entrypoint
from recur.data.dataset import Dataset
from recur.record.attempt import AttemptDir, read_seed_result
from recur.record.journal import read_events
from recur.record.report import read_sweep
from recur.record.result import State
from tests.cluster.kit import ROOT, Head, answers, ray_head, script, set_flags, short_folder, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

EIGHT = (
    "cluster.workers=8",
    "cluster.gpus_per_worker=1",
    "cluster.fanout_cpus=4",  # two task processes on eight claimed CPUs, not eight
    "train.micro_batches=8",
    "train.batch_tokens=2048",
)
ENDLESS = ("train.steps=1000000", "train.val_every=0")
SEEDS = ("42", "1337")


@pytest.fixture(scope="module")
def out() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(cpus=8, gpus=8) as running:
        yield running


def submit(head: Head, job: str, *arguments: str) -> None:
    """`ray job submit --working-dir . -- python jobs/record.py ...` as a person types it."""
    ray = str(Path(sys.executable).with_name("ray"))
    flags = ["--address", head.dashboard, "--working-dir", ".", "--submission-id", job, "--no-wait"]
    line = [ray, "job", "submit", *flags, "--", "python", "jobs/record.py", *arguments]
    subprocess.run(line, env=dict(head.environment), cwd=ROOT, check=True, capture_output=True, timeout=120)


def jobs_of(head: Head) -> dict[str, dict[str, Any]]:
    return {job["submission_id"]: job for job in head.get("/api/jobs/").json() if job["submission_id"]}


def ended(head: Head, job: str) -> bool:
    return jobs_of(head)[job]["status"] in ("SUCCEEDED", "FAILED", "STOPPED")


def stamps(root: Path, seed: str) -> dict[str, float]:
    events = [e for e in read_events(root / "events.jsonl") if str(e.fields["seed"]) == seed]
    return {str(e.fields["state"]): e.at for e in events}


class Watched:
    """What /metrics and the seeds' states showed while a driver ran."""

    def __init__(self, head: Head, root: Path, driver: str) -> None:
        self.series: set[tuple[str, str]] = set()
        self.together = 0
        while not ended(head, driver):
            for name, labels in re.findall(r"^ray_(recur_\w+)\{([^}]*)\}", self._metrics(head), re.MULTILINE):
                self.series.add((name, str(re.search(r'seed="(\d+)"', labels)[1])))  # type: ignore[index]
            seeds = [j for j in jobs_of(head).values() if j["metadata"].get("sweep") == root.name]
            self.together = max(self.together, sum(j["status"] in ("PENDING", "RUNNING") for j in seeds))
            time.sleep(0.5)

    @staticmethod
    def _metrics(head: Head) -> str:
        return requests.get(head.metrics, timeout=20).text


@pytest.fixture(scope="module")
def watched(head: Head, out: Path, tiny_dataset: Dataset) -> Watched:
    """Two seeds of eight gloo ranks on eight faked GPUs of one node, run as a Ray job to their end."""
    flags = [*set_flags(*EIGHT), "--seeds", ",".join(SEEDS), "--data", str(tiny_dataset.root)]
    submit(head, "driver-1", *flags, "--out", str(out), "--sweep", "eight")
    return Watched(head, out / "eight", "driver-1")


def test_the_driver_and_every_seed_are_jobs_with_their_metadata(head: Head, watched: Watched) -> None:
    jobs = jobs_of(head)
    assert jobs["driver-1"]["status"] == "SUCCEEDED", jobs["driver-1"]["message"]
    for seed in SEEDS:
        job = jobs[f"eight-s{seed}-a1"]
        wanted = {"sweep": "eight", "seed": seed, "attempt": "1", "profile": "smoke", "job_name": f"eight-s{seed}-a1"}
        assert job["status"] == "SUCCEEDED"
        assert job["metadata"] == wanted


def test_a_job_of_the_same_name_and_another_folder_is_not_taken_for_ours(head: Head, out: Path, watched: Watched) -> None:
    jobs, spec = RayJobs(head.dashboard), AttemptDir(out / "eight", 42, 1).path("spec.json")
    same = JobRequest(job_id="eight-s42-a1", entrypoint=seed_entrypoint(spec), metadata={}, runtime_env={})
    jobs.submit(same)
    with pytest.raises(JobTaken, match=r"has a job eight-s42-a1 of another folder already"):
        jobs.submit(replace(same, entrypoint=seed_entrypoint(Path("/elsewhere/spec.json"))))


def test_the_train_tab_lists_a_run_of_eight_ranks_for_every_seed(head: Head, watched: Watched) -> None:
    runs = {run["name"]: run for run in head.get("/api/train/v2/runs/v1").json()["train_runs"]}
    assert set(runs) == {f"eight-s{seed}-a1" for seed in SEEDS}
    for run in runs.values():
        assert run["status"] == "FINISHED"
        assert run["run_settings"]["scaling_config"]["num_workers"] == 8
        assert run["run_settings"]["scaling_config"]["placement_strategy"] == "STRICT_PACK"


def test_the_task_list_names_matrices_fit_and_evaluation_shares_by_seed(head: Head, watched: Watched) -> None:
    tasks = head.get("/api/v0/tasks?limit=5000").json()["data"]["result"]["result"]
    names = {task["name"] for task in tasks}
    for seed in SEEDS:
        assert f"gptq[seed={seed} blocks.3.mlp.fc]" in names
        assert f"fit[seed={seed} prune]" in names
        assert f"evaluate[seed={seed} sliding 2/2]" in names


def test_metrics_show_every_gauge_by_seed_while_the_sweep_runs(watched: Watched) -> None:
    gauges = ("recur_loss", "recur_tokens_per_s", "recur_mfu", "recur_phase", "recur_val_bpb", "recur_total_bytes")
    missing = {(gauge, "42") for gauge in gauges} - watched.series
    assert not missing, sorted(watched.series)
    assert ("recur_phase", "1337") in watched.series


def test_with_one_slot_the_second_seed_starts_when_the_first_has_left(out: Path, watched: Watched) -> None:
    first, second = stamps(out / "eight", "42"), stamps(out / "eight", "1337")
    assert first["SUCCEEDED"] <= second["SUBMITTING"]
    assert watched.together == 1
    ended_at = AttemptDir(out / "eight", 42, 1).path("result.json").stat().st_mtime
    assert read_events(AttemptDir(out / "eight", 1337, 1).path("progress.jsonl"))[0].at > ended_at


def test_the_results_are_whole_files_with_the_same_scored_bytes_and_placement(out: Path, watched: Watched) -> None:
    sweep = json.loads((out / "eight" / "sweep.json").read_text())
    assert (sweep["state"], sweep["n"]) == ("SUCCEEDED", 2)
    for seed in sweep["seeds"]:
        assert seed["placement"]["world_size"] == 8
        assert len(seed["placement"]["ranks"]) == 8
        assert seed["total_bytes"] == (out / "eight" / f"seed_{seed['seed']}" / "a1" / "artifact.ptz").stat().st_size
    assert len({seed["scored_bytes"] for seed in sweep["seeds"]}) == 1
    assert sorted(p.name for p in (out / "eight" / "plots").iterdir()) == ["bpb.png", "bytes.png", "loss.png"]


def test_after_kill_9_of_the_driver_resume_adopts_the_running_job_and_job_stop_ends_it(
    head: Head, out: Path, tiny_dataset: Dataset
) -> None:
    flags = [*set_flags(*ENDLESS), "--seeds", "7,8", "--data", str(tiny_dataset.root), "--out", str(out)]
    line = script("jobs/record.py", *flags, "--sweep", "endless", "--address", head.gcs)
    driver = subprocess.Popen(line, env=dict(head.environment), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    beat = AttemptDir(out / "endless", 7, 1)
    wait_for(lambda: (beat.read_heartbeat() or {}).get("step"), 120)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=30)
    assert jobs_of(head)["endless-s7-a1"]["status"] == "RUNNING"

    submit(head, "driver-2", *flags, "--resume", "endless")
    wait_for(lambda: "seed 7 attempt 1" in log(head, "driver-2") or ended(head, "driver-2"), 60)
    assert jobs_of(head)["driver-2"]["status"] == "RUNNING", log(head, "driver-2")
    asked = time.monotonic()
    stop(head, "driver-2")
    wait_for(lambda: jobs_of(head)["endless-s7-a1"]["status"] == "STOPPED", 15)
    assert time.monotonic() - asked < 15
    assert not (out / "endless" / "seed_7" / "a2").exists()
    assert "endless-s8-a1" not in jobs_of(head)


def log(head: Head, job: str) -> str:
    return str(head.get(f"/api/jobs/{job}/logs").json()["logs"])


def stop(head: Head, job: str) -> None:
    """What `ray job stop` sends, without the seconds its start takes."""
    requests.post(f"{head.dashboard}/api/jobs/{job}/stop", timeout=20).raise_for_status()


def test_the_results_are_still_there_when_the_head_is_gone(head: Head, out: Path, watched: Watched) -> None:
    head.end()
    assert not answers(head.dashboard)
    assert read_sweep(out / "eight").state is State.SUCCEEDED
    for seed in SEEDS:
        result = read_seed_result(out / "eight", int(seed))
        assert result is not None
        assert result.state is State.SUCCEEDED
