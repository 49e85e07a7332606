"""The life of an attempt: submitted, watched, taken in, and every way to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from api.reconciler import observing
from api.store import attempts, events, sweeps
from api.store.rows import Ending
from api.store.tables import sweeps as sweeps_table
from cluster.job_client import JobsUnreachable
from cluster.outcome import cancelled
from recur.errors import DataError, StorageError
from recur.record.attempt import artifact_path, read_seed_result
from recur.record.result import State
from recur.seedspec import load_spec
from tests.api import fake_attempt
from tests.api.reconciler.kit import Bench, quick_folder
from tests.api.stub_jobs import StubJobs


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder)


def test_a_submitted_sweep_runs_to_its_end_and_is_reported(bench: Bench) -> None:
    bench.submit("swp", 1, 2)
    bench.ticks(2)
    assert bench.states("swp") == [State.SUBMITTED] * 2
    for job in ("swp-s1-a1", "swp-s2-a1"):
        bench.stub.play(job)
    bench.ticks(3)
    assert bench.states("swp") == [State.SUCCEEDED] * 2
    row = bench.row("swp", 1)
    assert row.result is not None
    assert (row.result["scored_tokens"], row.result["total_bytes"], row.result["code_bytes"]) == (7616, 3017, 17)
    assert row.gates is not None
    assert [gate["verdict"] for gate in row.gates] == ["pass", "pass"]
    assert bench.helper.reported == ["swp"]
    assert bench.loop.health.degraded is None


def test_the_folder_holds_spec_log_and_pointer_of_the_attempt_that_counts(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.ticks(2)
    bench.stub.play("swp-s1-a1")
    bench.ticks(2)
    root = bench.out / "swp"
    spec = load_spec(bench.attempt("swp", 1).path("spec.json"))
    assert (spec.seed, spec.attempt, spec.out, spec.recipe.artifact.code_bytes) == (1, 1, bench.out, 17)
    assert bench.attempt("swp", 1).path("job.log").read_text() == "log of swp-s1-a1\n"
    counting = read_seed_result(root, 1)
    assert counting is not None
    assert counting.state is State.SUCCEEDED
    assert artifact_path(root, 1) == root / "seed_1" / "a1" / "artifact.ptz"


def test_a_job_carries_its_sweep_seed_attempt_and_profile(bench: Bench) -> None:
    bench.submit("swp", 7)
    bench.ticks(2)
    job = bench.stub.job("swp-s7-a1")
    assert job is not None
    assert job.metadata == {"sweep": "swp", "seed": "7", "attempt": "1", "profile": "smoke", "job_name": "swp-s7-a1"}


def test_a_failed_gate_is_invalid_with_its_reason_and_numbers(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.ticks(2)
    bench.stub.play("swp-s1-a1", State.INVALID)
    bench.ticks(2)
    row = bench.row("swp", 1)
    assert (row.state, row.result is not None) == (State.INVALID, True)
    assert "gate 'scored targets'" in str(row.reason)


def test_a_crash_fails_with_the_line_that_the_job_left(bench: Bench) -> None:
    job = bench.running()
    bench.stub.fail(job, error=DataError("shard a.bin", "has magic 7", "fetch it again"))
    bench.tick()
    row = bench.row("swp", 1)
    assert (row.state, row.reason) == (State.FAILED, "shard a.bin has magic 7; fetch it again")
    assert bench.attempt("swp", 1).path("job.log").exists()


def test_heartbeats_are_kept_and_said_at_a_new_phase_and_every_few_seconds(bench: Bench) -> None:
    job = bench.running()
    for _ in range(10):
        bench.stub.beat(job)
        bench.tick()
    bench.stub.advance(job)
    bench.tick()
    row = bench.row("swp", 1)
    assert (row.phase, row.progress["step"], row.progress["mfu"]) == ("train", 1, 1e-3)
    with bench.store.read() as c:
        said = [e for e in events.since(c, "swp", 0, 1000) if e.kind == "progress"]
    assert 3 <= len(said) <= 5
    assert said[-1].data["phase"] == "train"


def test_the_log_of_a_running_job_is_fetched_now_and_then(bench: Bench) -> None:
    bench.running()
    bench.ticks(3)
    assert bench.attempt("swp", 1).path("job.log").read_text() == "log of swp-s1-a1\n"


def test_cancel_stops_a_running_job_and_it_never_succeeds(bench: Bench) -> None:
    job = bench.running()
    bench.cancel("swp")
    assert bench.row("swp", 1).state is State.CANCELLING
    bench.tick()
    assert bench.stub.stops(job) == [job]
    bench.tick()
    row = bench.row("swp", 1)
    assert (row.state, row.reason) == (State.CANCELLED, "cancelled")


def test_a_result_that_comes_after_the_cancel_does_not_count(bench: Bench) -> None:
    job = bench.running()
    bench.cancel("swp")
    bench.stub.finish(job)
    bench.ticks(2)
    assert bench.row("swp", 1).state is State.CANCELLED
    assert bench.row("swp", 1).result is None


def test_a_pending_job_that_ignores_the_stop_finds_the_mark_when_it_starts(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.ticks(2)
    bench.cancel("swp")
    bench.ticks(3)
    assert len(bench.stub.stops("swp-s1-a1")) == 3
    assert bench.row("swp", 1).reason == "cancelling: its job is PENDING and was told to stop"
    assert cancelled(bench.attempt("swp", 1))
    bench.stub.start("swp-s1-a1")
    bench.tick()
    assert bench.row("swp", 1).state is State.CANCELLED


def test_a_deaf_job_stays_cancelling_with_a_reason_and_keeps_its_slot(bench: Bench) -> None:
    bench.running()
    bench.stub.turn(deaf=True)
    bench.cancel("swp")
    bench.ticks(60)
    assert (bench.row("swp", 1).state, bench.row("swp", 1).reason) == (
        State.CANCELLING,
        "cancelling: its job is RUNNING and was told to stop",
    )
    with bench.store.read() as c:
        assert attempts.held(c, bench.row("swp", 1).pool) == 1
    bench.stub.turn(deaf=False)
    bench.ticks(2)
    assert bench.row("swp", 1).state is State.CANCELLED


def test_a_seed_cancelled_before_its_spec_was_written_is_cancelled_at_once(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.tick()
    bench.stub.turn(away=True)
    with bench.store.write() as c:
        attempts.admit(c, bench.row("swp", 1).pool, 1, now=bench.now, limit=1)
    bench.cancel("swp")
    assert bench.row("swp", 1).state in (State.CANCELLED, State.CANCELLING)
    bench.stub.turn(away=False)
    bench.tick()
    assert bench.row("swp", 1).state is State.CANCELLED
    assert bench.stub.accepted() in ([], ["swp-s1-a1"])


def test_a_run_past_its_limit_is_stopped_and_timed_out() -> None:
    with quick_folder() as folder:
        bench = Bench(folder, max_run_s=100.0)
        job = bench.running()
        bench.ticks(99)
        assert bench.row("swp", 1).state is State.RUNNING
        bench.ticks(5)
        row = bench.row("swp", 1)
        assert (row.state, row.ending, row.reason) == (State.TIMED_OUT, Ending.TIMEOUT, "it ran longer than max_run_s=100")
        assert bench.stub.stops(job)


def test_a_job_that_hangs_after_its_result_is_stopped_and_its_result_counts(bench: Bench) -> None:
    job = bench.running()
    bench.stub.finish(job, exits=False)
    bench.ticks(29)
    assert (bench.row("swp", 1).state, bench.row("swp", 1).reason) == (State.RUNNING, None)
    bench.ticks(4)
    row = bench.row("swp", 1)
    assert row.state is State.SUCCEEDED
    assert "the job ended STOPPED after it had written its result" in str(row.warning)


def test_why_a_seed_with_a_result_is_still_running_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.running()
    bench.stub.finish(job, exits=False)
    monkeypatch.setattr(type(bench.stub), "stop", lambda *_: None)  # a job that does not hear
    bench.ticks(40)
    row = bench.row("swp", 1)
    assert (row.state, row.reason) == (
        State.RUNNING,
        "its result is there, and its job was told to end: its numbers count when it has",
    )


def test_an_end_that_is_final_takes_no_late_result_in(bench: Bench) -> None:
    job = bench.running()
    bench.stub.fail(job)
    bench.tick()
    fake_attempt.finish(bench.attempt("swp", 1))
    bench.ticks(3)
    row = bench.row("swp", 1)
    assert (row.state, row.result) == (State.FAILED, None)
    assert row.warning == "a result was written after it had ended FAILED; it does not count"
    with bench.store.read() as c:
        assert len([e for e in events.since(c, "swp", 0, 1000) if e.kind == "warning"]) == 1


def test_a_refused_submission_is_repeated_and_says_why_and_fails_after_a_minute(bench: Bench) -> None:
    bench.stub.turn(refusals=1000)
    bench.submit("swp", 1)
    bench.ticks(2)
    assert bench.row("swp", 1).reason == "its job was refused and is submitted again: no available agent"
    bench.ticks(30)
    assert bench.row("swp", 1).state is State.SUBMITTING
    bench.ticks(31)
    row = bench.row("swp", 1)
    assert (row.state, row.reason) == (State.FAILED, "its job was not accepted: no available agent")
    assert cancelled(bench.attempt("swp", 1))


def test_a_job_stopped_from_outside_is_cancelled_and_says_so(bench: Bench) -> None:
    job = bench.running()
    bench.stub.stop(job)
    bench.tick()
    assert (bench.row("swp", 1).state, bench.row("swp", 1).reason) == (State.CANCELLED, "its job was stopped from outside")


def test_the_log_says_so_when_it_cannot_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_logs(self: StubJobs, job_id: str) -> str:
        raise JobsUnreachable("no agent")

    job = bench.running()
    bench.stub.fail(job)
    monkeypatch.setattr(StubJobs, "logs", no_logs)
    bench.tick()
    text = bench.attempt("swp", 1).path("job.log").read_text()
    assert text.endswith("the job's log could not be read: no agent\n")
    assert bench.row("swp", 1).state is State.FAILED


def test_refusals_before_and_after_an_outage_are_not_added_up(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.stub.turn(refusals=1)
    bench.ticks(2)
    bench.stub.turn(away=True)
    bench.ticks(30, 10)
    bench.stub.turn(away=False, refusals=1)
    bench.tick()
    assert bench.row("swp", 1).state is State.SUBMITTING
    bench.tick()
    assert bench.row("swp", 1).state is State.SUBMITTED


def test_a_job_whose_reply_was_lost_is_stopped_when_its_recipe_can_no_longer_be_read(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.stub.turn(drop_replies=1)
    bench.ticks(2)
    bench.stub.start("swp-s1-a1")
    bench.stub.beat("swp-s1-a1")
    with bench.store.write() as c:
        found = sweeps.get(c, "swp")
        assert found is not None
        c.execute(update(sweeps_table).values(recipe={**found.recipe, "section_of_old": {}}))
    bench.restart()
    bench.ticks(5)
    row = bench.row("swp", 1)
    assert row.state is State.FAILED and "section_of_old" in str(row.reason)
    assert (job := bench.stub.job("swp-s1-a1")) is not None and not job.alive


def test_a_full_disk_does_not_keep_a_cancelled_job_running(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(attempt: object) -> None:
        raise StorageError("results", "cannot be written (No space left on device)", "free space")

    job = bench.running()
    monkeypatch.setattr(observing, "mark_cancelled", full)
    bench.cancel("swp")
    bench.ticks(3)
    assert (found := bench.stub.job(job)) is not None and not found.alive and bench.row("swp", 1).state is State.CANCELLED
