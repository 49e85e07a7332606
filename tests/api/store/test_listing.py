"""The list: pages that neither skip nor repeat, every sort, and a state filter that agrees with `worst`."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from api.store import Store, attempts, sweeps
from api.store.listing import SORTS, SWEEP_STATES, ListedSweep, listed
from api.store.tables import attempts as table
from recur.errors import InputError
from recur.record.result import State
from tests.api.store.kit import HOUR_S, RESULT, current, drive, drive_seed, new_sweep, put


def walk(c: Connection, *, limit: int, sort: str, state: str | None = None) -> list[ListedSweep]:
    """All lines, page by page."""
    lines: list[ListedSweep] = []
    cursor = None
    while True:
        page = listed(c, limit=limit, after=cursor, state=state, sort=sort)
        assert len(page.lines) <= limit
        lines += page.lines
        cursor = page.next
        if cursor is None:
            return lines


@pytest.mark.parametrize("sort", SORTS)
def test_pages_hold_every_sweep_once_in_order(store: Store, sort: str) -> None:
    names = ["Zeta", "alpha", "Ärger", "alpha", "", "42", "zeta"]
    with store.write() as c:
        for i, name in enumerate(names):
            sweeps.create(c, new_sweep(f"w-{i}", name=name, created_at=float(1000 + i // 2)), ageing_s=HOUR_S)
    by = (lambda s: (s.name, s.id)) if sort.endswith("name") else (lambda s: (s.created_at, s.id))
    with store.read() as c:
        for limit in (1, 2, 3, 7, 200):
            lines = walk(c, limit=limit, sort=sort)
            assert len(lines) == len(names)
            assert lines == sorted(lines, key=by, reverse=sort.startswith("-"))


def test_a_sweep_that_comes_in_between_pages_shifts_nothing(store: Store) -> None:
    for i in range(4):
        put(store, f"w-{i}", created_at=float(i))
    with store.read() as c:
        page = listed(c, limit=2, after=None, state=None, sort="-created_at")
    put(store, "newest", created_at=99.0)
    with store.read() as c:
        rest = listed(c, limit=2, after=page.next, state=None, sort="-created_at")
    assert [line.id for line in (*page.lines, *rest.lines)] == ["w-3", "w-2", "w-1", "w-0"]
    assert rest.next is None


def test_a_line_counts_current_attempts_and_scores_succeeded_seeds(store: Store) -> None:
    put(store, seeds=(1, 2, 3, 4), name="Mine", priority=5)
    with store.write() as c:
        for seed, bpb, size in ((1, 1.25, 15_000_000), (2, 1.5, 15_999_999)):
            row = drive(c, current(c, "a-1", seed), State.RUNNING)
            result = {**RESULT, "val_bpb": {"sliding": bpb}, "total_bytes": size}
            assert attempts.move(c, row, State.SUCCEEDED, now=1.0, result=result)
        row = drive(c, current(c, "a-1", 3), State.RUNNING)
        assert attempts.move(c, row, State.INVALID, now=1.0, result={**RESULT, "total_bytes": 17_000_000})
        drive(c, current(c, "a-1", 4), State.FAILED)
        attempts.retry(c, "a-1", 4, now=1.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
        (line,) = listed(c, limit=5, after=None, state=None, sort="name").lines
    assert line == ListedSweep(
        id="a-1",
        name="Mine",
        profile="tiny",
        priority=5,
        created_at=1000.0,
        counts={State.SUCCEEDED: 2, State.INVALID: 1, State.QUEUED: 1},
        n=2,
        mean_val_bpb=1.375,
        max_total_bytes=15_999_999,
    )
    assert (line.state, line.seeds) == (State.RUNNING, 4)


def test_a_result_without_a_score_is_listed_without_one(store: Store) -> None:
    put(store, seeds=(1,))
    row = drive_seed(store, "a-1", 1, State.RUNNING)
    with store.write() as c:
        assert attempts.move(c, row, State.SUCCEEDED, now=1.0, result={"state": "SUCCEEDED"})
        (line,) = listed(c, limit=5, after=None, state=None, sort="name").lines
    assert (line.n, line.mean_val_bpb, line.max_total_bytes) == (1, None, None)


@pytest.mark.service
def test_the_state_filter_agrees_with_the_derived_state(store: Store) -> None:
    """300 random mixtures of states, and every pair of them."""
    chance = random.Random(7)
    mixtures: list[tuple[State, ...]] = [(a, b) for a in State for b in State]
    mixtures += [tuple(chance.choices(list(State), k=chance.randint(1, 6))) for _ in range(300)]
    with store.write() as c:
        for i, states in enumerate(mixtures):
            name = f"w-{i}"
            sweeps.create(c, new_sweep(name, seeds=tuple(range(len(states))), created_at=float(i)), ageing_s=HOUR_S)
            for seed, state in enumerate(states):
                c.execute(update(table).where(table.c.sweep == name, table.c.seed == seed).values(state=state))
    with store.read() as c:
        everything = walk(c, limit=200, sort="created_at")
        assert [s.state for s in everything] == [sweeps.state_of(m) for m in mixtures]
        for state in SWEEP_STATES:
            expected = [s for s in everything if s.state is state]
            assert expected and walk(c, limit=23, sort="created_at", state=state) == expected


def test_only_the_current_attempt_decides(store: Store) -> None:
    put(store, seeds=(1,))
    with store.write() as c:
        drive(c, current(c, "a-1", 1), State.FAILED)
        new = attempts.retry(c, "a-1", 1, now=1.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
        assert len(listed(c, limit=5, after=None, state="QUEUED", sort="name").lines) == 1
        drive(c, new, State.SUCCEEDED)
        assert listed(c, limit=5, after=None, state="FAILED", sort="name").lines == ()
        assert len(listed(c, limit=5, after=None, state="SUCCEEDED", sort="name").lines) == 1


def test_an_empty_store_has_an_empty_page(store: Store) -> None:
    with store.read() as c:
        page = listed(c, limit=5, after=None, state=None, sort="-created_at")
    assert page == replace(page, lines=(), next=None)


@pytest.mark.parametrize(
    "cursor", ["", "x", "bm8", "%%%", "W10", "WzEsMiwzXQ", "eyJhIjoxfQ", "ü", "\x00", "A" * 5000, "W1tb" * 5000]
)
def test_a_made_up_cursor_is_refused(sqlite_store: Store, cursor: str) -> None:
    with pytest.raises(InputError, match="cursor"), sqlite_store.read() as c:
        listed(c, limit=5, after=cursor, state=None, sort="name")


def test_a_cursor_belongs_to_its_sort(sqlite_store: Store) -> None:
    put(sqlite_store, "a-1")
    put(sqlite_store, "b-1")
    with sqlite_store.read() as c:
        cursor = listed(c, limit=1, after=None, state=None, sort="name").next
        with pytest.raises(InputError, match="cursor"):
            listed(c, limit=1, after=cursor, state=None, sort="-name")


def test_unknown_sorts_and_states_are_refused(sqlite_store: Store) -> None:
    with sqlite_store.read() as c:
        with pytest.raises(InputError, match="sort="):
            listed(c, limit=5, after=None, state=None, sort="seeds")
        for state in ("SUBMITTED", "succeeded", ""):
            with pytest.raises(InputError, match="state="):
                listed(c, limit=5, after=None, state=state, sort="name")
