"""The sweep loop on a fake job system and a fake clock, with real folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cluster.job_client import JobState
from cluster.outcome import write_failure
from cluster.sweep import SweepPlan
from recur.errors import DataError
from recur.recipe import load_recipe
from recur.record.atomic import write_json_atomic
from recur.record.journal import read_events
from recur.record.result import Phase, State
from recur.seedspec import load_spec
from tests.cluster.loop_bench import Bench


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


def test_every_change_of_state_is_one_event_with_a_stamp(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1)
    bench.tick()
    bench.finish(1)
    bench.tick()
    events = read_events(bench.plan.root / "events.jsonl")
    assert [event.fields["state"] for event in events] == ["SUBMITTING", "SUBMITTED", "SUCCEEDED"]
    assert [event.at for event in events] == [1001.0, 1001.0, 1002.0]


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
