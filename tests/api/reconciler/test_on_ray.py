"""The reconciler on a real Ray head with real seed jobs: what the stub's tests promise, seen once for true."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.store import attempts, open_store, sweeps
from api.store.rows import AttemptRow, Pool
from cluster.job_client import JobState, RayJobs
from cluster.seal import check_seal
from recur.record.attempt import AttemptDir, read_seed_result
from recur.record.result import State
from tests.api.reconciler.kit import DATABASE, recipe_json
from tests.api.reconciler.on_ray import UP_S, Service
from tests.api.reconciler.test_kill import server
from tests.cluster.kit import Head, named, ray_head, short_folder, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.timeout(1200)]

ENDLESS = ("train.steps=1000000", "train.val_every=0", "train.log_every=1")


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(cpus=2) as running:
        yield running


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def service(folder: Path, head: Head) -> Iterator[Service]:
    with Service(folder, head) as running:
        yield running


def test_a_sweep_is_prepared_run_taken_in_and_reported(service: Service) -> None:
    service.submit("whole", "artifact.code_bytes=0")
    row = service.until("whole", State.SUCCEEDED, State.INVALID, seconds=600)
    assert row.state is State.SUCCEEDED, row.reason
    attempt = AttemptDir(service.out / "whole", 42, 1)
    assert row.result is not None
    assert row.result["total_bytes"] == attempt.path("artifact.ptz").stat().st_size
    assert row.gates is not None
    assert {gate["verdict"] for gate in row.gates} == {"pass", "n/a"}
    assert check_seal(attempt) is True
    assert "done sweep=whole seed=42" in attempt.path("job.log").read_text()
    wait_for(lambda: service.sweep("whole").reported_at, 120)
    assert json.loads((service.out / "whole" / "sweep.json").read_text())["n"] == 1
    counting = read_seed_result(service.out / "whole", 42)
    assert counting is not None
    assert counting.state is State.SUCCEEDED


def test_a_data_error_is_one_line_before_any_job(service: Service) -> None:
    service.submit("nodata", 'data.source="docs"')
    row = service.until("nodata", State.FAILED)
    assert ";" in str(row.reason)
    assert service.jobs.info(row.job_id) is None


def test_cancel_ends_a_training_job_within_half_a_minute(service: Service) -> None:
    service.submit("stopme", *ENDLESS)
    row = service.training("stopme")
    began = time.monotonic()
    with service.store.write() as c:
        sweeps.cancel_asked(c, "stopme", now=time.time())
    service.loop.nudge()
    service.until("stopme", State.CANCELLED, seconds=30)
    assert time.monotonic() - began < 30
    job = service.jobs.info(row.job_id)
    assert job is not None
    assert job.state is JobState.STOPPED
    wait_for(lambda: not named(str(service.out / "stopme" / "seed_42")), 10)  # the report of the sweep may be written


def test_a_killed_job_fails_and_is_tried_again_by_itself_from_the_first_unfinished_phase(service: Service) -> None:
    service.submit("killed", *ENDLESS)
    service.training("killed")
    for pid in named(str(service.out / "killed" / "seed_42" / "a1" / "spec.json")):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: service.row("killed").attempt == 2, 90)
    with service.store.read() as c:
        first = attempts.history(c, "killed")[0]
    assert first.state is State.FAILED
    assert "ended" in str(first.reason) or "exit" in str(first.reason), first.reason
    again = service.training("killed")
    assert (again.attempt, again.job_id) == (2, "killed-s42-a2")
    with service.store.write() as c:
        sweeps.cancel_asked(c, "killed", now=time.time())
    service.until("killed", State.CANCELLED, seconds=30)


def test_after_kill_9_of_the_server_the_next_one_adopts_the_running_job(folder: Path, head: Head) -> None:
    own = folder / "served"
    (own / "inbox").mkdir(parents=True)
    store, jobs = open_store(f"sqlite:///{own / DATABASE}"), RayJobs(head.dashboard)

    def row() -> AttemptRow | None:
        with store.read() as c:
            return next(iter(attempts.current(c, "adopt")), None)

    def steps() -> int:
        found = row()
        return int(found.progress.get("step") or 0) if found else 0

    (own / "inbox" / "submit.adopt.42").write_text(json.dumps(recipe_json("train.peak_tflops=1.0", *ENDLESS)))
    with server(own, head.dashboard) as first:
        wait_for(steps, UP_S)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
    before = steps()
    with server(own, head.dashboard):
        wait_for(lambda: steps() > before, 60)
        found = row()
        assert found is not None
        assert (found.state, found.attempt, found.job_id) == (State.RUNNING, 1, "adopt-s42-a1")
        (own / "inbox" / "cancel.adopt").touch()
        wait_for(lambda: row().state is State.CANCELLED, 60)  # type: ignore[union-attr]
    assert not (own / "out" / "adopt" / "seed_42" / "a2").exists()
    job = jobs.info("adopt-s42-a1")
    assert job is not None
    assert job.state is JobState.STOPPED
    store.close()


def test_the_dashboard_lists_the_nodes(head: Head) -> None:
    jobs = RayJobs(head.dashboard)
    wait_for(jobs.nodes, 30)  # the dashboard answers before the node has told it of itself
    assert [(node.cpus, node.gpus) for node in jobs.nodes()] == [(2.0, 0.0)]


def test_while_the_head_is_gone_the_seed_keeps_its_state_and_health_says_why(service: Service, head: Head) -> None:
    service.submit("orphan", *ENDLESS)
    service.training("orphan")
    head.end()
    wait_for(lambda: service.loop.health.degraded, 60)
    time.sleep(5)
    assert service.row("orphan").state is State.RUNNING
    assert "does not answer" in str(service.loop.health.degraded)
    assert service.loop.health.slots[Pool.CPU].slots is None
