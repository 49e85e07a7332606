"""The sweep loop without a node, or on a disk that refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.job_client import JobState
from cluster.launch import place_attempt
from cluster.outcome import write_failure
from recur.errors import NoRoom, StorageError, WorkerLost
from recur.record.attempt import read_seed_result, write_seed_result
from recur.record.result import SeedResult, State
from tests.cluster.loop_bench import Bench, refused


def test_a_seed_whose_node_has_gone_waits_for_another_one_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    bench.nodes = 1
    write_failure(bench.plan.attempt(1, 1), WorkerLost("training rank 0 was lost: its node went away", node_gone=True))
    bench.set(1, JobState.FAILED)
    bench.set(2, JobState.RUNNING)
    assert bench.tick() == [State.QUEUED, State.RUNNING]
    assert bench.tick(3600) == [State.QUEUED, State.RUNNING]  # the one node is busy, however long
    assert bench.loop.seats[0].reason is None
    bench.nodes = 2
    assert bench.tick(6) == [State.SUBMITTED, State.RUNNING]


def test_a_seed_that_no_node_can_hold_any_more_waits_half_an_hour_and_then_fails_with_the_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.nodes = 0
    assert bench.tick() == [State.QUEUED]
    assert bench.loop.seats[0].reason == "cluster.workers=8 must fit on one node; join a larger cluster"
    bench.nodes = 1
    assert bench.tick(1700) == [State.SUBMITTED]
    write_failure(bench.plan.attempt(1, 1), NoRoom("the cluster had no room for 8 training workers"))
    bench.set(1, JobState.FAILED)
    bench.nodes = 0
    assert bench.tick() == [State.QUEUED]
    assert bench.tick(1790) == [State.QUEUED]
    assert bench.tick(20) == [State.FAILED]
    assert bench.loop.seats[0].bad_input and "must fit on one node" in str(bench.loop.results()[0].error)


def test_a_place_that_was_not_there_costs_no_retry_of_what_dies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    for attempt, error in enumerate((NoRoom("no room"), WorkerLost("it died", node_gone=False), NoRoom("no room")), 1):
        bench.tick()
        write_failure(bench.plan.attempt(1, attempt), error)
        bench.set(1, JobState.FAILED, attempt)
        assert bench.tick() == [State.SUBMITTED]
    assert bench.loop.seats[0].attempt == 4


def test_a_disk_that_refuses_for_a_while_holds_up_one_seed_and_cancels_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    bench.set(2, JobState.RUNNING)
    bench.finish(1)
    real, full = write_seed_result, True

    def refuse(root: Path, result: SeedResult) -> Path:
        if full:
            raise StorageError(str(root), "is full", "free space")
        return real(root, result)

    monkeypatch.setattr("cluster.sweep.write_seed_result", refuse)
    assert bench.tick() == [State.SUBMITTED, State.RUNNING]
    assert bench.tick(3600) == [State.SUBMITTED, State.RUNNING]
    trouble = bench.loop.seats[0].trouble
    assert trouble is not None and str(trouble.error) == f"{bench.plan.root} is full; free space"
    full = False
    assert bench.tick() == [State.SUCCEEDED, State.RUNNING]
    assert bench.loop.seats[0].trouble is None
    found = read_seed_result(bench.plan.root, 1)
    assert found is not None and found.state is State.SUCCEEDED


def test_a_disk_that_goes_on_to_refuse_ends_the_sweep_once_nothing_else_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, 1)

    monkeypatch.setattr("cluster.sweep.place_attempt", refused)
    assert bench.tick() == [State.QUEUED]
    assert bench.tick(29) == [State.QUEUED]
    with pytest.raises(StorageError, match="is full; free space"):
        bench.tick(1)


def test_a_waiting_seed_never_starts_after_a_cancel_whatever_the_disk_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, 1, 2)
    bench.tick()
    bench.set(1, JobState.RUNNING)
    bench.tick()
    with monkeypatch.context() as full:
        full.setattr("cluster.sweep.write_seed_result", refused)
        bench.loop.cancel()
        assert bench.tick() == [State.CANCELLING, State.QUEUED]
    assert bench.tick() == [State.CANCELLED, State.CANCELLED]
    assert list(bench.jobs.requests) == ["swp-s1-a1"]


def test_what_a_disk_refused_long_ago_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, 1, 2)
    with monkeypatch.context() as full:
        full.setattr(
            "cluster.sweep.place_attempt", lambda spec, adopt: refused() if spec.seed == 1 else place_attempt(spec, adopt)
        )
        assert bench.tick() == [State.QUEUED, State.SUBMITTED]
    bench.finish(2)
    bench.nodes = 0
    bench.tick(3600)  # no room now: nothing is tried, and nothing is held against the disk
    assert bench.loop.seats[0].trouble is None
    bench.nodes = 1
    assert bench.tick(60) == [State.SUBMITTED, State.SUCCEEDED]


def test_a_job_system_that_does_not_answer_is_no_lack_of_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.nodes = 0
    bench.tick()
    bench.jobs.unreachable = True
    assert bench.tick(3600) == [State.QUEUED]
    assert bench.loop.seats[0].reason == "the job system does not answer"
    bench.jobs.unreachable = False
    assert bench.tick(60) == [State.QUEUED]  # half an hour without room begins anew
    assert bench.tick(1790) == [State.QUEUED]
    assert bench.tick(20) == [State.FAILED]
