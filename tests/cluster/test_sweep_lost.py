"""The sweep loop and attempts that die, come back late, or leave damaged files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cluster.failure import Spent
from cluster.job_client import JobState
from cluster.outcome import write_failure
from recur.errors import ArtifactError, DataError, WorkerLost
from recur.record.atomic import write_json_atomic
from recur.record.attempt import read_seed_result, write_seed_result
from recur.record.result import Phase, SeedResult, State
from tests.cluster.kit import leave_result
from tests.cluster.loop_bench import Bench


def test_the_job_of_a_sweep_of_the_same_name_in_another_folder_is_left_alone(tmp_path: Path) -> None:
    theirs, ours = Bench(tmp_path / "theirs", 1), Bench(tmp_path / "ours", 1)
    theirs.tick()
    ours.loop.jobs = ours.jobs = theirs.jobs
    assert ours.tick() == [State.FAILED]
    assert "has a job swp-s1-a1 of another folder already" in str(ours.loop.results()[0].error)
    assert "give another --sweep" in str(ours.loop.results()[0].error)
    assert theirs.jobs.stops == []
    assert not ours.plan.attempt(1, 1).path("job.log").exists()
    theirs.set(1, JobState.RUNNING)
    assert theirs.tick() == [State.RUNNING]


def test_a_lost_reply_makes_no_second_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.jobs.drop_replies = 1
    assert bench.tick() == [State.SUBMITTING]
    assert bench.tick() == [State.SUBMITTED]
    assert list(bench.jobs.requests) == ["swp-s1-a1"]


def test_a_lost_attempt_is_replaced_once_and_the_new_one_adopts_its_phases(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    first = bench.plan.attempt(1, 1)
    first.path("weights").write_text("trained")
    first.write_record(Phase.TRAIN, {}, ["weights"])
    bench.jobs.forget("swp-s1-a1")
    assert bench.tick() == [State.SUBMITTED]
    bench.tick(31.0)
    assert bench.tick() == [State.SUBMITTED]
    assert list(bench.jobs.requests) == ["swp-s1-a1", "swp-s1-a2"]
    adopted = bench.plan.attempt(1, 2)
    assert adopted.finished(Phase.TRAIN)
    assert adopted.path("weights").read_text() == "trained"
    bench.jobs.forget("swp-s1-a2")
    bench.tick()
    assert bench.tick(31.0) == [State.LOST]


def test_a_driver_that_was_killed_is_replaced_once_and_one_that_failed_by_itself_is_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    for attempt, state in ((1, State.SUBMITTED), (2, State.FAILED)):
        bench.set(1, JobState.FAILED, attempt, message="failed with exit code -9, last available logs")
        bench.tick()
        assert bench.tick() == [state], attempt
    other = Bench(tmp_path / "other", 1)
    other.tick()
    other.set(1, JobState.FAILED, message="failed with exit code 1. No logs available.")
    assert other.tick() == [State.FAILED]


def test_a_lost_training_is_replaced_and_bad_input_is_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    write_failure(bench.plan.attempt(1, 1), WorkerLost("training lost rank 0: its node went away", node_gone=True))
    write_failure(bench.plan.attempt(2, 1), DataError("shard x", "is cut", "fetch it"))
    for seed in (1, 2):
        bench.set(seed, JobState.FAILED, message="failed with exit code 1")
    bench.tick()
    assert bench.tick() == [State.SUBMITTED, State.FAILED]
    assert bench.loop.seats[0].had == Spent(preempted=1)


def test_a_late_result_of_an_old_attempt_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.jobs.forget("swp-s1-a1")
    bench.tick()
    bench.tick(31.0)
    leave_result(bench.plan.attempt(1, 1), State.INVALID)
    bench.tick()
    bench.finish(1, attempt=2)
    bench.tick()
    counting = read_seed_result(bench.plan.root, 1)
    assert counting is not None
    assert (counting.attempt, counting.state) == (2, State.SUCCEEDED)
    with pytest.raises(ArtifactError, match="older than attempt 2"):
        write_seed_result(bench.plan.root, SeedResult(seed=1, attempt=1, state=State.SUCCEEDED))


def test_a_result_of_another_seed_in_the_folder_fails_the_attempt(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    write_json_atomic(bench.plan.attempt(1, 1).path("result.json"), {"seed": 2, "state": "SUCCEEDED", "attempt": 1})
    bench.set(1, JobState.SUCCEEDED)
    assert bench.tick() == [State.FAILED]


def test_a_result_whose_artifact_is_damaged_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    attempt = bench.plan.attempt(1, 1)
    attempt.path("artifact").write_bytes(b"abc")
    record = attempt.write_record(Phase.FIT, {}, ["artifact"])
    result = {"seed": 1, "state": "SUCCEEDED", "attempt": 1, "model_sha256": record.payloads[0].sha256}
    write_json_atomic(attempt.path("result.json"), result)
    attempt.path("artifact").write_bytes(b"abd")
    bench.set(1, JobState.SUCCEEDED)
    assert bench.tick() == [State.FAILED]
    assert "sha256" in str(bench.loop.results()[0].error)


def test_a_damaged_seeds_result_starts_nothing_beside_what_may_still_live(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.plan.attempt(1, 1).heartbeat({"host": socket.gethostname()})
    bench.jobs.forget("swp-s1-a1")
    (bench.plan.root / "seed_1" / "result.json").write_bytes(b"{")
    bench.resume()
    assert [(seat.state, seat.attempt) for seat in bench.loop.seats] == [(State.RUNNING, 1)]


def test_a_finished_seed_is_kept_though_its_job_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.finish(1)
    bench.tick()
    bench.jobs.unreachable = True
    bench.resume()
    assert [seat.state for seat in bench.loop.seats] == [State.SUCCEEDED]


def test_a_silent_job_that_is_called_running_is_looked_after_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    asked: list[str] = []

    def logs(name: str) -> str:
        """As Ray after its head was started anew: it looks after the job when it is asked for its log."""
        asked.append(name)
        bench.set(1, JobState.FAILED, message="failed to get job supervisor")
        return ""

    monkeypatch.setattr(bench.jobs, "logs", logs)
    bench.set(1, JobState.RUNNING)
    beat = {"at": 1000.0, "pid": 1, "host": "elsewhere"}
    write_json_atomic(bench.plan.attempt(1, 1).path("heartbeat.json"), beat)
    os.utime(bench.plan.attempt(1, 1).path("heartbeat.json"), (1000.0, 1000.0))
    assert (bench.tick(), asked) == ([State.RUNNING], [])
    assert (bench.tick(100), asked) == ([State.RUNNING], ["swp-s1-a1"])
    assert bench.tick() == [State.SUBMITTED]
    assert bench.loop.seats[0].attempt == 2
