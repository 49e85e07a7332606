"""The sweep loop on a fake job system and a fake clock, with real folders."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from cluster.failure import Spent
from cluster.job_client import JobState, JobsUnreachable
from cluster.launch import place_attempt
from cluster.memory_jobs import InMemoryJobs
from cluster.outcome import cancelled, write_failure
from cluster.sweep import Seat, SweepLoop, SweepPlan, resume_seats
from recur.errors import ArtifactError, DataError, NoRoom, PlacementError, StorageError, WorkerLost
from recur.recipe import load_recipe
from recur.record.atomic import write_json_atomic
from recur.record.attempt import read_seed_result, write_seed_result
from recur.record.journal import read_events
from recur.record.result import Phase, SeedResult, State
from recur.seedspec import load_spec
from tests.cluster.kit import leave_result, sweep_plan


class Bench:
    """A loop with its job system, its clock, and short words for what a test does."""

    def __init__(self, out: Path, *seeds: int, slots: int = 1, seats: list[Seat] | None = None) -> None:
        self.plan, self.jobs, self.now = sweep_plan(out, *seeds, slots=slots), InMemoryJobs(), 1000.0
        self.nodes = slots
        """Nodes that hold a seed."""
        self.loop = SweepLoop(self.plan, self.jobs, clock=lambda: self.now, seats=seats, slots=self.count)

    def count(self) -> int:
        if self.jobs.unreachable:
            raise JobsUnreachable("away")
        if self.nodes == 0:
            raise PlacementError("cluster.workers=8", "must fit on one node", "join a larger cluster")
        return self.nodes

    def tick(self, seconds: float = 1.0) -> list[State]:
        self.now += seconds
        self.loop.tick()
        return [seat.state for seat in self.loop.seats]

    def set(self, seed: int, state: JobState, attempt: int = 1, message: str = "") -> None:
        self.jobs.set(self.plan.job_id(seed, attempt), state, message)

    def finish(self, seed: int, attempt: int = 1) -> None:
        leave_result(self.plan.attempt(seed, attempt))
        self.set(seed, JobState.SUCCEEDED, attempt)

    def resume(self) -> None:
        self.loop = SweepLoop(self.plan, self.jobs, clock=lambda: self.now, seats=resume_seats(self.plan, self.jobs))


def refused(*_: object, **__: object) -> NoReturn:
    raise StorageError("the disk", "is full", "free space")


def test_one_slot_runs_the_seeds_in_their_order_one_after_the_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 42, 7, 1337)
    order = []
    for seed in (42, 7, 1337):
        bench.tick()
        order.append([s.seed for s in bench.loop.seats if not s.state.terminal and s.state is not State.QUEUED])
        bench.finish(seed)
    assert bench.tick() == [State.SUCCEEDED] * 3
    assert order == [[42], [7], [1337]]
    assert bench.loop.done


def test_two_slots_hold_two_seeds_and_never_three(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, 3, slots=2)
    assert bench.tick() == [State.SUBMITTED, State.SUBMITTED, State.QUEUED]
    bench.set(1, JobState.RUNNING)
    assert bench.tick()[2] is State.QUEUED
    bench.finish(2)
    assert bench.tick() == [State.RUNNING, State.SUCCEEDED, State.SUBMITTED]


def test_with_overlap_the_next_seed_starts_while_a_seed_needs_no_gpu_and_the_third_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2, 3)
    recipe = load_recipe("record_1421", ["cluster.overlap=true"])
    bench.loop.plan = bench.plan = replace(bench.plan, template=replace(bench.plan.template, recipe=recipe))
    bench.tick()
    bench.set(1, JobState.RUNNING)

    def enter(seed: int, phase: Phase) -> list[State]:
        write_json_atomic(bench.plan.attempt(seed, 1).path("heartbeat.json"), {"phase": phase.value, "at": bench.now})
        return bench.tick()

    assert enter(1, Phase.CALIBRATE) == [State.RUNNING, State.QUEUED, State.QUEUED]
    assert enter(1, Phase.QUANTIZE) == [State.RUNNING, State.SUBMITTED, State.QUEUED]
    bench.set(2, JobState.RUNNING)
    assert enter(1, Phase.EVALUATE)[2] is State.QUEUED
    assert enter(2, Phase.FIT)[2] is State.QUEUED, "the first seed has the GPUs or waits for them"
    bench.finish(1)
    assert bench.tick() == [State.SUCCEEDED, State.RUNNING, State.SUBMITTED]


def test_a_job_carries_its_sweep_seed_attempt_and_profile(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 42)
    bench.tick()
    request = bench.jobs.requests["swp-s42-a1"]
    wanted = {"sweep": "swp", "seed": "42", "attempt": "1", "profile": "smoke", "job_name": "swp-s42-a1"}
    assert request.metadata == wanted
    spec = load_spec(bench.plan.attempt(42, 1).path("spec.json"))
    assert (spec.seed, spec.attempt, spec.recipe) == (42, 1, bench.plan.template.recipe)


def test_a_failed_seed_is_reported_with_its_line_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 2)
    bench.tick()
    write_failure(bench.plan.attempt(1, 1), DataError("shard a.bin", "has magic 7", "fetch it again"))
    bench.set(1, JobState.FAILED)
    bench.tick()
    bench.finish(2)
    bench.tick()
    first, second = bench.loop.results()
    assert (first.state, first.error) == (State.FAILED, "shard a.bin has magic 7; fetch it again")
    assert second.state is State.SUCCEEDED
    assert bench.plan.attempt(1, 1).path("job.log").read_text() == "log of swp-s1-a1\n"


def test_a_lost_reply_makes_no_second_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.jobs.drop_replies = 1
    assert bench.tick() == [State.SUBMITTING]
    assert bench.tick() == [State.SUBMITTED]
    assert list(bench.jobs.requests) == ["swp-s1-a1"]


def test_a_submission_that_stays_refused_fails_the_seed_after_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.jobs.refusals = 1000
    assert bench.tick() == [State.SUBMITTING]
    assert bench.tick(59.0) == [State.SUBMITTING]
    assert bench.tick(1.0) == [State.FAILED]
    assert "no available agent" in str(bench.loop.results()[0].error)


def test_an_outage_changes_no_state_however_long_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.jobs.unreachable = True
    assert {state for _ in range(10) for state in bench.tick(600.0)} == {State.SUBMITTED}
    bench.jobs.unreachable = False
    bench.finish(1)
    assert bench.tick() == [State.SUCCEEDED]


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


def test_every_change_of_state_is_one_event_with_a_stamp(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.finish(1)
    bench.tick()
    events = read_events(bench.plan.root / "events.jsonl")
    assert [event.fields["state"] for event in events] == ["SUBMITTING", "SUBMITTED", "SUCCEEDED"]
    assert [event.at for event in events] == [1001.0, 1001.0, 1002.0]


def test_run_sleeps_between_rounds_and_cancels_when_asked(tmp_path: Path) -> None:
    bench, rounds = Bench(tmp_path, 1), []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        bench.set(1, JobState.RUNNING)

    results = bench.loop.run(sleep, cancelled=lambda: len(rounds) >= 3)
    assert [result.state for result in results] == [State.CANCELLED]
    assert set(rounds) == {0.5}


def test_the_plan_of_no_seeds_is_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.tick() == []
    assert bench.loop.done


def test_the_spec_file_holds_no_environment(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 5)
    bench.tick()
    text = bench.plan.attempt(5, 1).path("spec.json").read_text()
    assert set(json.loads(text)) == {"sweep", "seed", "attempt", "dataset_root", "out", "note", "checkpoints", "recipe"}
    assert isinstance(bench.plan, SweepPlan)


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
