"""What happens before a job: preparing, admitting from a long queue; and after the last one: the report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from api.reconciler import Done
from api.reconciler.errand import PAUSE_S
from api.reconciler.helper import REPORT_FILE
from api.store import sweeps
from api.store.rows import Pool
from api.store.tables import sweeps as sweeps_table
from recur.recipe import source_sha256
from recur.record.atomic import write_json_atomic
from recur.record.result import State
from tests.api.reconciler.kit import RECIPE, START, Bench, on_gpus, quick_folder
from tests.api.store.test_speed import SWEEPS, fill
from tests.api.volume import measured


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder)


def test_only_the_head_of_the_queue_is_prepared(bench: Bench) -> None:
    for number in range(6):
        bench.submit(f"s{number}", 1, 2, 3)
    bench.ticks(10)
    assert bench.helper.prepared == ["s0", "s1"]  # one seed of s0 still waits, and all of s1
    bench.submit("urgent", 1, priority=10)
    bench.ticks(2)
    assert bench.helper.prepared[-1] == "urgent"


def test_seeds_leave_the_queue_by_priority_and_then_by_age(bench: Bench) -> None:
    bench.submit("old", 1)
    bench.now += 10
    bench.submit("young", 1)
    bench.submit("urgent", 1, priority=1)
    bench.ticks(5)
    assert bench.stub.accepted() == ["old-s1-a1", "urgent-s1-a1"] or bench.stub.accepted() == ["urgent-s1-a1", "old-s1-a1"]
    assert bench.states("young") == [State.QUEUED]


def test_what_the_user_must_mend_fails_every_seed_with_the_helpers_line(bench: Bench) -> None:
    bench.helper.answer = Done(code=2, line="data.train_files=/nowhere does not exist; give a folder")
    bench.submit("swp", 1, 2)
    bench.ticks(2)
    assert bench.states("swp") == [State.FAILED] * 2
    assert bench.row("swp", 1).reason == "data.train_files=/nowhere does not exist; give a folder"
    bench.helper.answer = Done(code=0, line="")
    bench.retry("swp", 1)
    bench.ticks(3)
    assert bench.row("swp", 1).state is State.SUBMITTED


def test_another_failure_of_the_helper_is_tried_three_times(bench: Bench) -> None:
    bench.helper.answer = Done(code=1, line="the mirror does not answer")
    bench.submit("swp", 1)
    bench.ticks(5)
    assert (bench.helper.prepared, bench.states("swp")) == (["swp"], [State.QUEUED])
    bench.ticks(8, PAUSE_S)
    assert bench.helper.prepared == ["swp"] * 3
    assert bench.row("swp", 1).reason == "its data could not be prepared (exit code 1): the mirror does not answer"


def test_a_helper_past_its_deadline_is_killed(bench: Bench) -> None:
    bench.helper.hangs = True
    bench.submit("swp", 1)
    bench.ticks(3)
    assert bench.loop.health.preparing == "swp"
    bench.tick(3601.0)
    assert bench.helper.tasks[0].killed
    assert bench.states("swp") == [State.QUEUED]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sweep": "other"}', "[" * 5000, "null"])
def test_a_spec_that_is_none_fails_the_sweep_and_not_the_loop(bench: Bench, text: str) -> None:
    bench.helper.hangs = True
    bench.submit("swp", 1)
    bench.tick()
    (bench.out / "swp" / "sweep_spec.json").write_text(text)
    bench.helper.tasks[0].done = Done(code=0, line="")
    bench.tick()
    row = bench.row("swp", 1)
    assert (row.state, "sweep_spec.json" in str(row.reason)) == (State.FAILED, True)
    assert bench.loop.health.degraded is None


def test_a_sweep_cancelled_while_it_is_prepared_stays_cancelled(bench: Bench) -> None:
    bench.helper.hangs = True
    bench.submit("swp", 1)
    bench.tick()
    bench.cancel("swp")
    bench.tick()
    assert bench.helper.tasks[0].killed and bench.loop.health.preparing is None  # the next sweep need not wait for it
    bench.ticks(3)
    assert bench.states("swp") == [State.CANCELLED]
    assert bench.stub.accepted() == []


def test_what_an_earlier_program_has_prepared_and_nobody_has_begun_is_prepared_again() -> None:
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=1)
        bench.helper.program = "of another day"
        bench.submit("begun", 1)
        bench.submit("waits", 2)
        bench.ticks(5)
        assert bench.helper.prepared == ["begun", "waits"]
        assert bench.states("begun") + bench.states("waits") == [State.SUBMITTED, State.QUEUED]
        bench.helper.program = source_sha256()
        for _ in range(2):
            bench.restart()
            bench.ticks(3)
            assert bench.helper.prepared == ["begun", "waits", "waits"]


def test_a_recipe_of_another_version_fails_its_seeds_and_not_the_loop(bench: Bench) -> None:
    bench.submit("swp", 1, recipe=RECIPE | {"cluster": RECIPE["cluster"] | {"gone": 1}})
    bench.ticks(3)
    row = bench.row("swp", 1)
    assert (row.state, "cluster.gone" in str(row.reason)) == (State.FAILED, True)


def test_the_report_is_made_once_and_again_after_a_retry(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.ticks(2)
    bench.stub.fail("swp-s1-a1")
    bench.ticks(3)
    assert bench.helper.reported == ["swp"]
    told = json.loads((bench.out / "swp" / "outcome.json").read_text())
    assert [(seed["seed"], seed["state"]) for seed in told["seeds"]] == [(1, "FAILED")]
    assert told["seeds"][0]["error"].startswith("exit code 1 (not tried again: ")
    bench.retry("swp", 1)
    bench.ticks(2)
    bench.stub.play("swp-s1-a2")
    bench.ticks(4)
    assert bench.helper.reported == ["swp", "swp"]
    told = json.loads((bench.out / "swp" / "outcome.json").read_text())
    assert [(seed["state"], seed["attempt"], seed["total_bytes"]) for seed in told["seeds"]] == [("SUCCEEDED", 2, 3017)]
    with bench.store.read() as c:
        row = sweeps.get(c, "swp")
    assert row is not None
    assert (row.reported_at is not None, row.warning) == (True, "not publishable")


def test_a_report_that_cannot_be_written_is_said_after_three_tries(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.ticks(2)
    bench.stub.play("swp-s1-a1")
    bench.helper.answer = Done(code=1, line="No space left on device")
    bench.ticks(10, PAUSE_S)
    assert bench.helper.reported == ["swp"] * 3
    with bench.store.read() as c:
        row = sweeps.get(c, "swp")
    assert row is not None
    assert row.warning == "its report could not be written (exit code 1): No space left on device"
    assert bench.states("swp") == [State.SUCCEEDED]


def test_a_full_disk_keeps_the_state_and_is_tried_again(bench: Bench) -> None:
    bench.submit("swp", 1)
    bench.tick()
    blocked = bench.out / "swp" / "seed_1"
    blocked.write_text("in the way of a folder")
    bench.ticks(3)
    assert bench.row("swp", 1).state is State.SUBMITTING
    assert "cannot be written" in str(bench.loop.health.degraded)
    blocked.unlink()
    bench.tick()
    assert bench.row("swp", 1).state is State.SUBMITTED


@pytest.mark.service
def test_a_round_with_thirty_thousand_waiting_seeds_admits_in_a_fifth_of_a_second() -> None:
    with quick_folder() as folder:
        bench = Bench(folder, cpu_slots=4)
        fill(bench.store, ended=False)
        with bench.store.write() as c:
            ready = {"prepared_at": START, "fingerprint": "f" * 64, "dataset_root": str(bench.out / "datasets"), "recipe": RECIPE}
            c.execute(update(sweeps_table).values(**ready))
        bench.tick()
        took = []
        for _ in range(20):
            for job in bench.stub.jobs():
                bench.stub.fail(job.job_id)
            began = time.process_time()  # other work on the machine does not count
            tick = bench.tick()
            took.append(time.process_time() - began)
            assert tick.admitted == 4, tick
        took.sort()
        measured("admit_30k", {"queued_seeds": 3 * SWEEPS, "round_cpu_p50_s": took[10], "round_cpu_p95_s": took[18]})
        assert took[18] < 0.2, took


def test_a_report_that_was_begun_before_a_retry_is_made_again(bench: Bench) -> None:
    bench.stub.fail(bench.running())
    bench.helper.hangs = True
    bench.ticks(3)
    assert bench.helper.reported == ["swp"]
    bench.retry("swp", 1)
    bench.cancel("swp")
    bench.tick()
    write_json_atomic(bench.out / "swp" / REPORT_FILE, {"record_path": None, "warning": "of the first attempt"})
    bench.helper.tasks[-1].done = Done(code=0, line="")
    bench.helper.hangs = False
    bench.ticks(5)
    assert bench.helper.reported == ["swp", "swp"]
    told = json.loads((bench.out / "swp" / "outcome.json").read_text())["seeds"]
    assert [(one["attempt"], one["state"]) for one in told] == [(2, "CANCELLED")]


def test_what_no_longer_fits_anywhere_is_passed_over_when_it_is_prepared_already(bench: Bench) -> None:
    bench.stub.turn(nodes=(("big", 64.0, 2.0),))
    bench.submit("busy", 1, recipe=on_gpus(2), pool=Pool.GPU)
    bench.ticks(2)
    bench.submit("two", 1, recipe=on_gpus(2), pool=Pool.GPU)
    bench.ticks(2)
    bench.stub.turn(nodes=(("small", 64.0, 1.0),))
    bench.stub.play("busy-s1-a1")
    bench.submit("one", 1, recipe=on_gpus(1), pool=Pool.GPU)
    bench.ticks(20, 10)
    assert bench.states("two") == [State.QUEUED] and bench.states("one") != [State.QUEUED]


def test_slots_of_one_recipe_are_not_given_to_another(bench: Bench) -> None:
    bench.stub.turn(nodes=(("big", 64.0, 2.0), ("small", 64.0, 1.0)))
    bench.submit("busy", 1, 2, recipe=on_gpus(1), pool=Pool.GPU)
    bench.ticks(3)
    bench.submit("one", 1, recipe=on_gpus(1), pool=Pool.GPU)
    bench.now += 1
    bench.submit("two", 1, 2, recipe=on_gpus(2), pool=Pool.GPU)
    bench.ticks(4)
    for seed in (1, 2):
        bench.stub.play(f"busy-s{seed}-a1")
    bench.ticks(3)
    assert bench.states("one") != [State.QUEUED] and bench.states("two") == [State.QUEUED, State.QUEUED]
