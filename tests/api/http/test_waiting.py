"""Why is mine waiting: place, reason and a guess of the start, in the sweep and in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.reconciler import Health, SlotCount
from api.store.rows import Pool
from recur.record.result import State
from tests.api.kit import Running, advance, finish, prepare, running


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slotted(tmp_path: Path, clock: Clock) -> Iterator[Running]:
    """A service that believes it has one CPU slot and no node for GPUs."""
    with running(tmp_path, app_options={"clock": clock}) as service:
        tell(service)
        yield service


def tell(service: Running, *, cpu: int | None = 1, degraded: str | None = None, preparing: str | None = None) -> None:
    """Let the reconciler have found these slots."""
    slots = {
        Pool.CPU: SlotCount(slots=cpu, source="the setting cpu_slots"),
        Pool.GPU: SlotCount(slots=0, source="the cluster", why="no node has 8 GPUs (there is n1: 0 GPUs, 2 CPUs)"),
    }
    health = Health(at=service.ctx.clock(), degraded=degraded, slots=slots, address="http://ray:8265", preparing=preparing)
    service.ctx.reconciler = SimpleNamespace(health=health, nudge=lambda: None)  # type: ignore[assignment]


def waits(service: Running, sweep: str) -> list[Any]:
    return [seed["waiting"] for seed in service.client.get(f"/v1/sweeps/{sweep}").json()["seeds"]]


def test_the_next_seed_of_a_free_slot_starts_now(slotted: Running) -> None:
    sweep = slotted.submit(seeds=[5, 6])["id"]
    prepare(slotted.ctx, sweep)
    first, second = waits(slotted, sweep)
    assert (first["place"], first["why"]) == (1, "a slot is free: it starts with the next round")
    assert (second["place"], second["why"]) == (2, "1 seed stands before it")


def test_who_holds_the_slots_is_named(slotted: Running) -> None:
    sweep = slotted.submit(seeds=[5, 6])["id"]
    prepare(slotted.ctx, sweep)
    advance(slotted.ctx, sweep, 5, State.RUNNING)
    running_seed, waiting = waits(slotted, sweep)
    assert running_seed is None
    assert (waiting["place"], waiting["why"]) == (1, f"the only cpu slot is held by {sweep}-s5-a1")


def test_priority_and_age_give_the_place(slotted: Running, clock: Clock) -> None:
    later = slotted.submit(seeds=[1])["id"]
    clock.at += 1
    urgent = slotted.submit(seeds=[1], priority=5)["id"]
    assert (waits(slotted, urgent)[0]["place"], waits(slotted, later)[0]["place"]) == (1, 2)


@pytest.mark.parametrize(("preparing", "why"), [(True, "its data is being prepared"), (False, "its data must be prepared first")])
def test_data_that_is_not_ready_is_named(slotted: Running, preparing: bool, why: str) -> None:
    sweep = slotted.submit(seeds=[1])["id"]
    tell(slotted, preparing=sweep if preparing else None)
    assert waits(slotted, sweep)[0]["why"] == why


def test_missing_gpus_are_named(slotted: Running) -> None:
    sweep = slotted.submit(profile="recur", seeds=[1])["id"]
    prepare(slotted.ctx, sweep)
    assert waits(slotted, sweep)[0]["why"].startswith("no node has 8 GPUs")
    assert waits(slotted, sweep)[0]["starts_after"] is None


def test_a_job_system_that_is_away_is_named(slotted: Running) -> None:
    sweep = slotted.submit(seeds=[1])["id"]
    prepare(slotted.ctx, sweep)
    tell(slotted, degraded="no answer in 10 s")
    assert waits(slotted, sweep)[0]["why"] == "the job system cannot be asked: no answer in 10 s"
    assert slotted.client.get("/v1/queue").json()["degraded"] == "no answer in 10 s"


def test_the_start_is_guessed_from_finished_seeds_of_the_profile(slotted: Running, clock: Clock) -> None:
    done = slotted.submit(seeds=[1, 2, 3])["id"]
    prepare(slotted.ctx, done)
    for seed in (1, 2, 3):
        advance(slotted.ctx, done, seed, State.RUNNING)
        clock.at += 600
        finish(slotted.ctx, done, {seed: 1.08})
    sweep = slotted.submit(seeds=[5, 6, 7])["id"]
    prepare(slotted.ctx, sweep)
    advance(slotted.ctx, sweep, 5, State.RUNNING)
    clock.at += 120
    _, next_one, after = waits(slotted, sweep)
    assert next_one["starts_after"] == "about 8 min (from 3 finished seeds of smoke)"
    assert after["starts_after"] == "about 18 min (from 3 finished seeds of smoke)"


def test_the_queue_lists_slots_holders_and_who_waits(slotted: Running) -> None:
    sweep = slotted.submit(seeds=[5, 6, 7], name="mine")["id"]
    prepare(slotted.ctx, sweep)
    advance(slotted.ctx, sweep, 5, State.RUNNING)
    queue = slotted.client.get("/v1/queue", params={"limit": 1}).json()
    cpu, gpu = queue["slots"]
    assert (cpu["slots"], cpu["held"], cpu["holders"]) == (1, 1, [f"{sweep}-s5-a1"])
    assert (gpu["slots"], "no node has 8 GPUs" in gpu["source"]) == (0, True)
    assert [(line["seed"], line["name"], line["waiting"]["place"]) for line in queue["waiting"]] == [(6, "mine", 1)]
    assert queue["total_waiting"] == 2
