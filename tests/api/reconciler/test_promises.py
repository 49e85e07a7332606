"""What must not happen: a wrong end because something could not be seen, a slot too many, a second job."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from api.store import attempts
from api.store.rows import Pool
from cluster.failure import Spent
from recur.errors import DataError
from recur.record.result import State
from tests.api.reconciler.kit import Bench, on_gpus, quick_folder
from tests.api.volume import measured, volume


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder)


def test_while_the_job_system_is_away_everything_keeps_its_state_and_health_says_why(bench: Bench) -> None:
    bench.running()
    bench.stub.turn(away=True)
    bench.submit("late", 1)
    bench.ticks(30, 10.0)
    assert bench.row("swp", 1).state is State.RUNNING
    assert bench.row("late", 1).state is State.QUEUED
    health = bench.loop.health
    assert health.degraded == "the job system is away"
    assert health.slots[Pool.CPU].slots is None
    bench.stub.turn(away=False)
    bench.stub.play("swp-s1-a1")
    bench.ticks(3, 5.0)
    assert bench.loop.health.degraded is None
    assert bench.row("swp", 1).state is State.SUCCEEDED
    assert bench.row("late", 1).state is State.SUBMITTED


def test_a_refused_credential_is_an_outage_too(bench: Bench) -> None:
    bench.running()
    bench.stub.turn(locked=True)
    bench.ticks(100)
    assert bench.row("swp", 1).state is State.RUNNING
    assert "authentication required" in str(bench.loop.health.degraded)


def test_a_job_that_cannot_be_read_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.submit("swp", 1, 2)
    bench.ticks(2)
    bench.stub.play("swp-s1-a1")
    bench.stub.play("swp-s2-a1")
    bench.stub.turn(errors=1)
    bench.tick()
    assert sorted(bench.states("swp")) == [State.SUBMITTED, State.SUCCEEDED]
    assert "status code 500" in str(bench.loop.health.degraded)
    bench.tick()
    assert bench.states("swp") == [State.SUCCEEDED] * 2


def test_a_false_failed_ends_nothing_while_the_heartbeat_goes_on(bench: Bench) -> None:
    job = bench.running()
    bench.stub.lie(job)
    for _ in range(30):
        bench.stub.beat(job)
        bench.tick(10.0)
    row = bench.row("swp", 1)
    assert (row.state, row.warning) == (State.RUNNING, "the job system said FAILED, but nobody saw the job end")
    bench.stub.finish(job)
    bench.tick()
    assert bench.row("swp", 1).state is State.SUCCEEDED


def test_a_failed_that_nobody_saw_counts_once_the_heartbeat_is_stale(bench: Bench) -> None:
    job = bench.running()
    bench.stub.lie(job)
    bench.ticks(58)
    assert bench.row("swp", 1).state is State.RUNNING
    bench.ticks(4)
    first, second = bench.history("swp")
    assert (first.state, first.reason) == (State.FAILED, "Job supervisor actor died")
    assert second.had == Spent(lost=1)


def test_a_lost_history_ends_nothing_while_the_heartbeat_goes_on(bench: Bench) -> None:
    job = bench.running()
    bench.stub.forget(job)
    for _ in range(30):
        bench.stub.beat(job)
        bench.tick(10.0)
    assert bench.row("swp", 1).state is State.RUNNING
    bench.stub.finish(job)
    bench.tick()
    row = bench.row("swp", 1)
    assert row.state is State.SUCCEEDED
    assert "has forgotten the job" in str(row.warning)


def test_lost_needs_the_job_unknown_twice_half_a_minute_apart(bench: Bench) -> None:
    job = bench.running()
    bench.tick(100.0)
    bench.stub.forget(job, ends=True)
    bench.tick()
    assert bench.row("swp", 1).state is State.RUNNING
    bench.tick(29.0)
    assert bench.row("swp", 1).state is State.RUNNING
    bench.tick(1.0)
    assert bench.history("swp")[0].state is State.LOST


def test_a_restart_in_between_only_makes_the_loop_more_patient(bench: Bench) -> None:
    job = bench.running()
    bench.tick(100.0)
    bench.stub.forget(job, ends=True)
    bench.tick()
    bench.restart()
    bench.tick(29.0)
    bench.tick(29.0)
    assert bench.row("swp", 1).state is State.RUNNING
    bench.tick(1.0)
    assert bench.history("swp")[0].state is State.LOST


def test_slots_are_never_exceeded_whatever_the_rows_do(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.submit(name, 1, 2, 3)
    seen = 0
    for step in range(40):
        bench.tick()
        with bench.store.read() as c:
            held = attempts.held(c, Pool.CPU)
        assert held <= 2
        seen = max(seen, held)
        if step == 10:
            bench.cancel("b")
        if step == 20:
            bench.restart()
        for job in bench.stub.jobs():
            if job.alive and step % 2:
                bench.stub.play(job.job_id)
    assert seen == 2
    assert {state for name in ("a", "b", "c") for state in bench.states(name)} <= {State.SUCCEEDED, State.CANCELLED}


@pytest.mark.service
def test_a_reply_that_is_lost_after_the_job_was_accepted_makes_no_second_job() -> None:
    count = volume(50, 500, gate=25)
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=25)
        for number in range(count // 25):
            bench.submit(f"s{number}", *range(25))
        bench.stub.turn(drop_replies=count)
        rounds = 0
        while bench.stub.knobs.drop_replies and rounds < 40 * count:
            rounds += 1
            bench.tick()
            for job in bench.stub.jobs():
                with bench.store.read() as c:
                    known = {row.job_id: row.state for row in attempts.open_ones(c)}
                if job.alive and known.get(job.job_id) in (State.SUBMITTED, State.RUNNING):
                    bench.stub.play(job.job_id)
        for _ in range(200):
            bench.tick()
            for job in bench.stub.jobs():
                if job.alive:
                    bench.stub.play(job.job_id)
            if len(bench.stub.accepted()) == count and not any(job.alive for job in bench.stub.jobs()):
                break
        bench.ticks(2)
        states = [state for number in range(count // 25) for state in bench.states(f"s{number}")]
        accepted = bench.stub.accepted()
        measured("reply_dropped", {"submissions": count, "jobs": len(accepted), "distinct": len(set(accepted))})
        assert len(accepted) == len(set(accepted)) == count
        assert states == [State.SUCCEEDED] * count


FAULTS = ("away", "history", "false_failed", "errors")


@pytest.mark.service
@pytest.mark.parametrize("fault", FAULTS)
def test_five_minutes_of_a_fault_lead_to_no_wrong_end(fault: str) -> None:
    runs, wrong = volume(5, 50, gate=2), 0
    for number in range(runs):
        with quick_folder() as folder:
            wrong += _survives(Bench(folder, cpu_slots=3), fault, random.Random(f"{fault}-{number}"))
    measured(f"fault_{fault}", {"runs": runs, "wrong_terminal_states": wrong})
    assert wrong == 0


def _survives(bench: Bench, fault: str, chance: random.Random) -> int:
    """Three seeds meet a fault for five minutes at some moment of their life; how many ended otherwise than they really did."""
    bench.submit("swp", 1, 2, 3)
    jobs = [f"swp-s{seed}-a1" for seed in (1, 2, 3)]
    truth = dict.fromkeys(jobs, State.SUCCEEDED)
    doomed = chance.choice(jobs)
    truth[doomed] = State.FAILED
    bench.ticks(2)
    for job in jobs:
        bench.stub.start(job)
        for _ in range(chance.randrange(4)):
            bench.stub.advance(job)
        bench.stub.beat(job)
    bench.ticks(chance.randrange(1, 4))
    if fault == "away":
        bench.stub.turn(away=True)
    elif fault == "errors":
        bench.stub.turn(errors=900)
    for job in jobs:
        if fault == "history":
            bench.stub.forget(job)
        elif fault == "false_failed":
            bench.stub.lie(job)
    finishing, beats = chance.randrange(60), chance.random() < 0.5
    for second in range(0, 300, 5):
        for job in jobs if fault != "away" or beats else ():
            bench.stub.beat(job)
        if second == 5 * finishing:
            bench.stub.finish(chance.choice([job for job in jobs if job != doomed]))
        bench.tick(5.0)
        assert not [row for row in bench.history("swp") if row.state.terminal and bench.stub.job(row.job_id).alive]  # type: ignore[union-attr]
    bench.stub.turn(away=False, errors=0)
    bench.stub.fail(doomed, error=DataError("shard", "is cut", "fetch it again"))
    for job in jobs:
        bench.stub.finish(job)
    bench.ticks(4, 5.0)
    rows = bench.history("swp")
    return sum(row.state is not truth[row.job_id] for row in rows) + abs(len(rows) - 3)


def test_gpu_slots_are_nodes_that_hold_a_seed_and_zero_says_why(bench: Bench) -> None:
    bench.stub.turn(nodes=(("cpu-only", 64.0, 0.0),))
    bench.submit("big", 1, 2, 3, recipe=on_gpus(8), pool=Pool.GPU)
    bench.ticks(3)
    count = bench.loop.health.slots[Pool.GPU]
    assert count.slots == 0
    assert "8 GPUs" in str(count.why)
    assert "cpu-only: 0 GPUs" in str(count.why)
    assert bench.helper.prepared == []
    bench.stub.turn(nodes=(("cpu-only", 64.0, 0.0), ("n1", 64.0, 8.0), ("n2", 64.0, 8.0)))
    bench.ticks(3, 5.0)
    assert bench.loop.health.slots[Pool.GPU].slots == 2
    assert bench.states("big") == [State.SUBMITTED, State.SUBMITTED, State.QUEUED]


def test_what_can_never_be_placed_does_not_hold_up_what_can(bench: Bench) -> None:
    bench.submit("huge", 1, recipe=on_gpus(64), pool=Pool.GPU)
    bench.submit("eight", 1, recipe=on_gpus(8), pool=Pool.GPU)
    bench.ticks(3)
    assert bench.states("huge") == [State.QUEUED]
    assert bench.states("eight") == [State.SUBMITTED]


def test_configured_slots_win_over_the_recipes() -> None:
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=None)
        bench.submit("swp", 1, 2)
        bench.ticks(2)
        assert bench.states("swp") == [State.SUBMITTED, State.QUEUED]
        assert bench.loop.health.slots[Pool.CPU].source == "the recipe's cluster.cpu_slots"
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=0)
        bench.submit("swp", 1)
        bench.ticks(2)
        assert bench.states("swp") == [State.QUEUED]
        assert bench.loop.health.slots[Pool.CPU].why == "no slots are configured"
