"""The sweep loop cancelled, and resumed by another driver."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cluster.job_client import JobState
from cluster.outcome import cancelled
from recur.record.atomic import write_json_atomic
from recur.record.journal import read_events
from recur.record.result import Phase, State
from tests.cluster.loop_bench import Bench, refused


def test_cancel_stops_running_jobs_at_once_and_pending_ones_when_they_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, 3, slots=2)
    bench.tick()
    bench.set(1, JobState.RUNNING)
    bench.tick()
    bench.loop.cancel()
    assert bench.jobs.stops[0] == "swp-s1-a1"
    assert bench.tick() == [State.CANCELLED, State.CANCELLING, State.CANCELLED]
    assert cancelled(bench.plan.attempt(2, 1))
    bench.set(2, JobState.RUNNING)
    bench.tick()
    assert bench.tick() == [State.CANCELLED] * 3
    assert bench.loop.done


def test_a_result_that_comes_after_the_cancel_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.loop.cancel()
    bench.finish(1)
    assert bench.tick() == [State.CANCELLED]
    assert bench.loop.results()[0].steps is None


def test_resume_keeps_finished_seeds_adopts_running_jobs_and_starts_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, 3, slots=2)
    bench.tick()
    bench.finish(1)
    bench.set(2, JobState.RUNNING)
    bench.tick()
    bench.finish(3)
    bench.resume()
    assert [seat.state for seat in bench.loop.seats] == [State.SUCCEEDED, State.RUNNING, State.RUNNING]
    bench.finish(2)
    assert bench.tick() == [State.SUCCEEDED] * 3
    assert len(bench.jobs.requests) == 3


def test_resume_gives_failed_and_cancelled_seeds_a_new_attempt(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    bench.set(1, JobState.FAILED, message="failed with exit code 1")
    bench.set(2, JobState.RUNNING)
    bench.tick()
    bench.loop.cancel()
    assert bench.tick() == [State.FAILED, State.CANCELLED]
    bench.resume()
    assert [(seat.state, seat.attempt, seat.adopt_from) for seat in bench.loop.seats] == [(State.QUEUED, 2, 1)] * 2
    bench.tick()
    assert set(bench.jobs.requests) == {f"swp-s{seed}-a{attempt}" for seed in (1, 2) for attempt in (1, 2)}


def test_resume_on_a_new_head_waits_until_the_old_process_is_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    beat = {"at": bench.now, "pid": os.getpid(), "host": socket.gethostname()}
    write_json_atomic(bench.plan.attempt(1, 1).path("heartbeat.json"), beat)
    bench.jobs.forget("swp-s1-a1")
    bench.resume()
    assert bench.tick(40.0) == [State.RUNNING]
    assert bench.tick(10.0) == [State.RUNNING]
    write_json_atomic(bench.plan.attempt(1, 1).path("heartbeat.json"), {**beat, "pid": 2**22 + 1})
    bench.tick()
    assert bench.loop.seats[0].attempt == 2


def test_run_sleeps_between_rounds_and_cancels_when_asked(tmp_path: Path) -> None:
    bench, rounds = Bench(tmp_path, 1), []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        bench.set(1, JobState.RUNNING)

    results = bench.loop.run(sleep, cancelled=lambda: len(rounds) >= 3)
    assert [result.state for result in results] == [State.CANCELLED]
    assert set(rounds) == {0.5}


def test_cancel_stops_every_job_before_it_writes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    for seed in (1, 2):
        bench.set(seed, JobState.RUNNING)
    bench.tick()

    with monkeypatch.context() as patched:
        patched.setattr("cluster.sweep.mark_cancelled", refused)
        bench.loop.cancel()
    assert bench.jobs.stops == ["swp-s1-a1", "swp-s2-a1"]
    assert bench.tick() == [State.CANCELLED, State.CANCELLED]
    assert cancelled(bench.plan.attempt(1, 1)) and cancelled(bench.plan.attempt(2, 1))
    told = [event.fields["state"] for event in read_events(bench.plan.root / "events.jsonl")]
    assert told[-2:] == ["CANCELLED", "CANCELLED"]  # nothing is told of a seed after its end


def test_a_cancelled_job_is_told_to_stop_on_every_tick_though_its_mark_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    monkeypatch.setattr("cluster.sweep.mark_cancelled", refused)
    bench.loop.cancel()
    assert bench.tick() == [State.CANCELLING]  # a job that is PENDING does not hear it
    bench.set(1, JobState.RUNNING)
    bench.tick()
    assert bench.jobs.info("swp-s1-a1").state is JobState.STOPPED  # type: ignore[union-attr]
    assert bench.tick() == [State.CANCELLED]


def test_an_adoption_that_was_cut_short_is_made_again_on_resume(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    first = bench.plan.attempt(1, 1)
    first.append_event("phase", {"phase": "train"})
    first.append_interval("train", 0, 100)
    first.write_record(Phase.TRAIN, {})
    bench.set(1, JobState.FAILED, message="exit code -9")
    second = bench.plan.attempt(1, 2).create()
    second.write_record(Phase.TRAIN, {})  # the driver was killed here: record, but no stamps and no spec
    bench.resume()
    assert [(seat.state, seat.attempt, seat.adopt_from) for seat in bench.loop.seats] == [(State.QUEUED, 2, 1)]
    bench.tick()
    assert second.finished(Phase.TRAIN) and second.path("spec.json").exists()
    assert len(read_events(second.path("intervals.jsonl"))) == 1


def test_one_damaged_result_holds_up_the_resume_of_no_other_seed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, slots=2)
    bench.tick()
    bench.finish(1)
    bench.finish(2)
    bench.tick()
    (bench.plan.root / "seed_1" / "result.json").write_bytes(b"{")
    bench.plan.attempt(1, 1).path("result.json").write_bytes(b"")
    bench.resume()
    assert [(seat.state, seat.attempt, seat.adopt_from) for seat in bench.loop.seats] == [
        (State.QUEUED, 2, 1),
        (State.SUCCEEDED, 1, None),
    ]
    bench.tick()
    bench.finish(1, attempt=2)
    assert bench.tick() == [State.SUCCEEDED, State.SUCCEEDED]
