"""What follows a lost or ended attempt: one replacement, which takes over what is whole and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.outcome import cancelled
from recur.record.result import Phase, State
from tests.api.reconciler.kit import Bench, quick_folder


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder)


def test_a_lost_attempt_is_replaced_once_and_the_new_one_adopts_its_phases(bench: Bench) -> None:
    job = bench.running()
    for _ in range(3):
        bench.stub.advance(job)
    bench.stub.forget(job, ends=True)
    bench.ticks(62)
    assert [row.state for row in bench.history("swp")] == [State.LOST, State.SUBMITTED]
    assert cancelled(bench.attempt("swp", 1))
    second = bench.attempt("swp", 1, 2)
    assert second.finished(Phase.TRAIN)
    assert second.path("ema.safetensors").read_bytes() == b"weights of seed 1"
    bench.stub.forget("swp-s1-a2", ends=True)
    bench.ticks(40)
    assert [row.state for row in bench.history("swp")] == [State.LOST, State.LOST]
    assert bench.row("swp", 1).had.lost == 1
    assert "does not know the job" in str(bench.row("swp", 1).reason)


def test_stamps_are_taken_over_once_even_if_adopting_was_interrupted(bench: Bench) -> None:
    job = bench.running()
    for _ in range(3):
        bench.stub.advance(job)
    bench.stub.fail(job)
    bench.tick()
    bench.retry("swp", 1)
    second = bench.attempt("swp", 1, 2).create()
    second.adopt(bench.attempt("swp", 1), (Phase.TRAIN, Phase.CALIBRATE))
    bench.ticks(2)
    rows = [json.loads(line) for line in second.path("intervals.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows] == ["train"]


def test_a_retry_waits_until_the_old_attempt_is_silent(bench: Bench) -> None:
    job = bench.running()
    bench.stub.fail(job)
    bench.tick()
    bench.stub.forget(job)
    bench.retry("swp", 1)
    bench.attempt("swp", 1).path("heartbeat.json").write_text(json.dumps({"at": bench.now + 20, "host": "elsewhere", "pid": 7}))
    bench.ticks(60)
    row = bench.row("swp", 1)
    assert (row.state, row.reason) == (State.SUBMITTING, "attempt 1 still sends heartbeats")
    assert "swp-s1-a2" not in bench.stub.accepted()
    bench.ticks(25)
    assert bench.row("swp", 1).state is State.SUBMITTED


def test_a_retry_is_not_started_beside_an_old_job_that_has_come_back(bench: Bench) -> None:
    job = bench.running()
    before = bench.stub.job(job)
    assert before is not None
    bench.stub.forget(job)
    bench.ticks(62)
    assert bench.history("swp")[0].state is State.LOST
    assert bench.stub.accepted("swp-s1-a2") == ["swp-s1-a2"]
    bench.stub.fail("swp-s1-a2")
    bench.tick()
    bench.stub._put(before)
    bench.stub.turn(deaf=True)
    bench.retry("swp", 1)
    bench.ticks(5)
    assert bench.row("swp", 1).reason == "attempt 1 is still RUNNING and was told to stop"
    bench.stub.turn(deaf=False)
    bench.ticks(3)
    assert bench.row("swp", 1).state is State.SUBMITTED


def test_a_sweep_cancelled_while_its_job_is_lost_is_not_tried_again(bench: Bench) -> None:
    job = bench.running()
    bench.stub.forget(job, ends=True)
    bench.cancel("swp")
    bench.ticks(70)
    assert [row.state for row in bench.history("swp")] == [State.CANCELLED]


def test_a_retry_takes_over_nothing_behind_a_record_that_is_not_as_it_was_sealed(bench: Bench) -> None:
    bench.stub.finish(bench.running())
    path = bench.attempt("swp", 1).path("record_evaluate.json")
    path.write_text(path.read_text().replace('"nats": ', '"nats": 1', 1))
    bench.ticks(5)
    assert bench.row("swp", 1).state is State.FAILED
    bench.retry("swp", 1)
    bench.ticks(3)
    again = bench.attempt("swp", 1, 2)
    assert bench.row("swp", 1).state is State.SUBMITTED
    assert again.path("record_fit.json").exists() and not again.path("record_evaluate.json").exists()


def damage(bench: Bench, name: str) -> None:
    """One attempt that has finished with a file that is none any more."""
    bench.stub.finish(bench.running())
    bench.attempt("swp", 1).path(name).write_text('{"stamps": {"train": 3}}\n')


def runs_anew(bench: Bench) -> bool:
    """Whether the seed's second attempt is on its way and has taken over nothing."""
    row = bench.row("swp", 1)
    assert (row.attempt, row.state) == (2, State.SUBMITTED)
    return not bench.attempt("swp", 1, 2).path("record_train.json").exists()


@pytest.mark.parametrize("damaged", ["intervals.jsonl", "clock.json"])
def test_a_retry_after_damaged_stamps_that_were_sealed_runs_everything_anew(bench: Bench, damaged: str) -> None:
    damage(bench, damaged)
    bench.ticks(5)
    assert bench.row("swp", 1).state is State.FAILED
    bench.retry("swp", 1)
    bench.ticks(5)
    assert runs_anew(bench)


def test_a_result_stands_without_its_progress(bench: Bench) -> None:
    damage(bench, "progress.jsonl")
    bench.ticks(5)
    assert bench.row("swp", 1).state is State.SUCCEEDED


@pytest.mark.parametrize("damaged", ["intervals.jsonl", "progress.jsonl", "clock.json"])
def test_a_retry_of_an_attempt_without_a_seal_survives_a_damaged_journal(bench: Bench, damaged: str) -> None:
    damage(bench, damaged)
    for name in ("seal.json", "result.json"):
        bench.attempt("swp", 1).path(name).unlink()
    bench.stub.fail("swp-s1-a1")
    bench.ticks(5)
    if bench.row("swp", 1).attempt == 1:
        bench.retry("swp", 1)
    bench.ticks(5)
    assert runs_anew(bench)
