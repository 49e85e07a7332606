"""From the queue into slots: order, what holds a slot, places."""

from __future__ import annotations

import pytest

from api.store import Store, attempts
from api.store.rows import Pool
from recur.record.result import State
from tests.api.store.kit import HOUR_S, current, drive_seed, put

S = State


def test_admission_fills_free_slots_in_queue_order_and_only_with_prepared_sweeps(store: Store) -> None:
    put(store, "first", seeds=(5, 4), created_at=1000.0)
    put(store, "unready", seeds=(1,), created_at=900.0, ready=False)
    put(store, "second", seeds=(9, 8, 7), created_at=1001.0)
    put(store, "gpus", seeds=(1,), pool=Pool.GPU, created_at=1.0)
    with store.write() as c:
        got = attempts.admit(c, Pool.CPU, 4, now=50.0, limit=3)
        assert [(r.sweep, r.seed, r.state, r.admitted_at) for r in got] == [
            ("first", 5, S.SUBMITTING, 50.0),
            ("first", 4, S.SUBMITTING, 50.0),
            ("second", 9, S.SUBMITTING, 50.0),
        ]
        assert attempts.held(c, Pool.CPU) == 3
        assert [r.seed for r in attempts.admit(c, Pool.CPU, 4, now=51.0, limit=10)] == [8]
        assert attempts.admit(c, Pool.CPU, 4, now=52.0, limit=10) == ()
        assert attempts.admit(c, Pool.CPU, 2, now=52.0, limit=10) == ()
        drive_on = attempts.move(c, got[0], S.LOST, now=60.0, reason="gone")
        assert drive_on is not None
        assert [r.seed for r in attempts.admit(c, Pool.CPU, 4, now=61.0, limit=10)] == [7]
        assert [r.job_id for r in attempts.open_ones(c)] == ["first-s4-a1", "second-s9-a1", "second-s8-a1", "second-s7-a1"]
        assert attempts.held(c, Pool.GPU) == 0


@pytest.mark.parametrize("state", [S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.CANCELLING])
def test_a_slot_is_held_in_every_state_between_admission_and_end(store: Store, state: State) -> None:
    put(store, seeds=(1, 2))
    drive_seed(store, "a-1", 1, state)
    with store.write() as c:
        assert attempts.held(c, Pool.CPU) == 1
        assert attempts.admit(c, Pool.CPU, 1, now=1.0, limit=5) == ()


def test_a_seed_that_overlaps_makes_room_for_one_of_its_own_sweep_while_it_needs_no_gpu(store: Store) -> None:
    put(store, seeds=(1, 2, 3), pool=Pool.GPU)
    put(store, "other", seeds=(4,), pool=Pool.GPU)
    drive_seed(store, "a-1", 1, S.RUNNING)
    with store.write() as c:

        def admitted(sweep: str, *, overlap: bool) -> list[int]:
            return [row.seed for row in attempts.admit(c, Pool.GPU, 1, now=2.0, limit=5, sweep=sweep, overlap=overlap)]

        def enter(phase: str) -> None:
            attempts.beat(c, attempts.current(c, "a-1")[0], phase=phase, progress={}, now=1.0, say=False)

        enter("evaluate")
        assert admitted("a-1", overlap=True) == []
        enter("fit")
        assert admitted("other", overlap=True) == admitted("a-1", overlap=False) == []
        assert admitted("a-1", overlap=True) == [2]
        assert admitted("a-1", overlap=True) == [], "two seeds a slot, never three"
        assert attempts.held(c, Pool.GPU) == 2


def test_waiting_outweighs_priority_after_a_while(store: Store) -> None:
    put(store, "old", seeds=(1,), created_at=0.0)
    put(store, "urgent", seeds=(1,), created_at=HOUR_S - 1, priority=1)
    put(store, "too-late", seeds=(1,), created_at=HOUR_S + 1, priority=1)
    with store.read() as c:
        waiting = attempts.queued(c, Pool.CPU, 10, prepared_only=True)
        assert [r.sweep for r in waiting] == ["urgent", "old", "too-late"]
        assert [attempts.place(c, r) for r in waiting] == [1, 2, 3]


def test_places_count_everyone_who_is_ahead_in_the_same_pool(store: Store) -> None:
    put(store, "b-1", seeds=(3, 1, 2))
    put(store, "a-1", seeds=(9, 8), ready=False)
    put(store, "c-1", seeds=(1,), pool=Pool.GPU)
    drive_seed(store, "b-1", 3, S.RUNNING)
    with store.read() as c:
        waiting = attempts.queued(c, Pool.CPU, 10, prepared_only=False)
        assert [(r.sweep, r.seed) for r in waiting] == [("a-1", 9), ("a-1", 8), ("b-1", 1), ("b-1", 2)]
        assert [attempts.place(c, r) for r in waiting] == [1, 2, 3, 4]
        assert attempts.place(c, current(c, "c-1", 1)) == 1
