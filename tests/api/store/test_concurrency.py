"""Many writers, threads and processes: no change is lost or happens twice, no slot is taken twice, events stay gapless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.store import Store, attempts, events, idempotency, sweeps
from api.store.errors import StoreUnavailable
from api.store.rows import AttemptRow, Ending, Pool
from recur.record.result import State
from tests.api.store import workers
from tests.api.store.kit import HOUR_S, current, drive_seed, new_sweep, numbers, put
from tests.api.volume import volume

THREADS = 8


def together(count: int, work: Callable[[int], object]) -> list[object]:
    """Results of ``work(0) ... work(count - 1)``, started at the same moment in as many threads."""
    gate = threading.Barrier(count)

    def at_once(i: int) -> object:
        gate.wait(60)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(at_once, range(count)))


def test_of_many_changes_to_one_row_exactly_one_happens(store: Store) -> None:
    put(store, seeds=tuple(range(volume(5, 100))))
    ends = [s for s in State if s.terminal]
    for seed in range(volume(5, 100)):
        row = drive_seed(store, "a-1", seed, State.RUNNING)

        def end(i: int, row: AttemptRow = row) -> bool:
            with store.write() as c:
                return attempts.move(c, row, ends[i % len(ends)], now=float(i)) is not None

        assert sum(map(bool, together(THREADS, end))) == 1
        with store.read() as c:
            after = current(c, "a-1", seed)
            assert (after.state.terminal, after.version) == (True, row.version + 1)
    with store.read() as c:
        assert numbers(c, "a-1") == list(range(1, 2 + 1 + 4 * volume(5, 100)))


def test_no_warning_is_lost(store: Store) -> None:
    put(store, seeds=(1,))
    row = drive_seed(store, "a-1", 1, State.SUCCEEDED)

    def warn(i: int) -> None:
        for n in range(5):
            with store.write() as c:
                attempts.warn(c, row, f"<{i}.{n}>", now=1.0)

    together(THREADS, warn)
    with store.read() as c:
        warning = current(c, "a-1", 1).warning
    assert warning is not None and sorted(warning.split("; ")) == sorted(f"<{i}.{n}>" for i in range(THREADS) for n in range(5))


@pytest.mark.service
def test_events_are_gapless_and_appear_in_the_order_of_their_numbers(store: Store) -> None:
    """A reader that asks again and again for what is new misses nothing and sees nothing twice."""
    put(store)
    each = volume(15, 300)
    stop = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while True:
            last = stop.is_set()
            with store.read() as c:
                new = [e.number for e in events.since(c, "a-1", seen[-1] if seen else 0, 7)]
            seen.extend(new)
            if last and not new:
                return
            if not new:
                time.sleep(0.002)  # the writers need the interpreter too

    def say(i: int) -> None:
        left = each
        while left:
            try:
                with store.write() as c:
                    events.add(c, "a-1", "progress", at=float(each - left), seed=i)
            except (
                StoreUnavailable
            ):  # eight that write without a pause may wait long for the one connection: a 503 in the service
                continue
            left -= 1

    reader = threading.Thread(target=follow)
    reader.start()
    together(THREADS, say)
    stop.set()
    reader.join(60)
    assert seen == list(range(1, 3 + THREADS * each))


def test_one_idempotency_key_makes_one_sweep(store: Store) -> None:
    def submit(i: int) -> str:
        with store.write() as c:
            kept = idempotency.lookup(c, "ann", "k")
            if kept is not None:
                return kept.sweep
            made = sweeps.create(c, new_sweep(f"w-{i}"), ageing_s=HOUR_S)
            idempotency.keep(c, "ann", "k", "sha", made.sweep, now=1.0)
            return made.sweep

    assert len(set(together(THREADS * 2, submit))) == 1
    with store.read() as c:
        assert len(sweeps.listed(c, limit=200, after=None, state=None, sort="name").lines) == 1


def test_a_cancel_and_admissions_at_once_leave_nothing_queued_and_no_slot_lost(store: Store) -> None:
    for turn in range(volume(3, 50, gate=1)):
        put(store, f"w-{turn}", seeds=tuple(range(6)))

        def act(i: int, name: str = f"w-{turn}") -> None:
            with store.write() as c:
                if i == 3:
                    sweeps.cancel_asked(c, name, now=1.0)
                else:
                    attempts.admit(c, Pool.CPU, 4, now=1.0, limit=1)

        together(THREADS, act)
        with store.write() as c:
            rows = attempts.current(c, f"w-{turn}")
            assert {r.state for r in rows} <= {State.CANCELLED, State.CANCELLING}
            assert {r.ending for r in rows} == {Ending.CANCEL}
            for row in rows:
                if row.state is State.CANCELLING:
                    assert attempts.move(c, row, State.CANCELLED, now=2.0)
            assert attempts.held(c, Pool.CPU) == 0


@pytest.mark.service
def test_processes_that_admit_into_the_same_slots_never_take_one_too_many(url: str, store: Store) -> None:
    sweeps_, seeds = volume(3, 40), 4
    for i in range(sweeps_):
        put(store, f"w-{i}", seeds=tuple(range(seeds)))
    said = workers.finish([workers.start("admit_until_done", url, 3) for _ in range(3)])
    jobs = [line for lines in said for line in lines.split()]
    assert sorted(jobs) == sorted(f"w-{i}-s{seed}-a1" for i in range(sweeps_) for seed in range(seeds))
    with store.read() as c:
        for i in range(sweeps_):
            assert numbers(c, f"w-{i}") == list(range(1, 3 + 2 * seeds))


@pytest.mark.service
def test_processes_that_change_the_same_rows_each_win_their_own(url: str, store: Store) -> None:
    rounds = volume(20, 500)
    put(store, seeds=tuple(range(rounds)))
    said = workers.finish([workers.start("race", url, "a-1", rounds) for _ in range(2)])
    assert sorted(int(seed) for lines in said for seed in lines.split()) == list(range(rounds))
    with store.read() as c:
        found = numbers(c, "a-1")
        assert found == list(range(1, len(found) + 1))
        assert {r.version for r in attempts.current(c, "a-1")} == {2}
