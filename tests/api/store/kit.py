"""What the store's tests share: sweeps to put in, and ways to drive attempts along."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from api.store import Store, attempts, events, sweeps
from api.store.rows import AttemptRow, Ending, NewSweep, Pool
from recur.record.result import State

HOUR_S = 3600.0
RESULT: dict[str, Any] = {"val_bpb": {"sliding": 1.25}, "total_bytes": 15_900_000, "state": "SUCCEEDED"}


def new_sweep(sweep: str = "a-1", *, seeds: tuple[int, ...] = (1, 2, 3), **given: Any) -> NewSweep:
    """A submission."""
    fields: dict[str, Any] = {
        "name": sweep,
        "profile": "tiny",
        "overrides": {"train.steps": 50},
        "recipe": {"train": {"steps": 50}},
        "priority": 0,
        "baseline": None,
        "pool": Pool.CPU,
        "created_at": 1000.0,
    }
    return NewSweep(sweep=sweep, seeds=seeds, **{**fields, **given})


def put(store: Store, sweep: str = "a-1", *, ready: bool = True, **given: Any) -> None:
    """Store a sweep, prepared unless said otherwise."""
    with store.write() as c:
        sweeps.create(c, new_sweep(sweep, **given), ageing_s=HOUR_S)
        if ready:
            prepare(c, sweep)


def prepare(c: Connection, name: str) -> None:
    """Mark a sweep as prepared."""
    assert sweeps.prepared(
        c, name, fingerprint="f1", dataset_root="/data/d", note="", recipe={"train": {"steps": 50}}, now=1001.0
    )


def drive(c: Connection, row: AttemptRow, to: State, *, now: float = 1010.0) -> AttemptRow:
    """Bring a QUEUED attempt to ``to`` on the shortest way."""
    for step in _way(to):
        changes: dict[str, Any] = {"ending": Ending.CANCEL} if step is State.CANCELLING else {}
        if step is State.SUCCEEDED:
            changes = {"result": RESULT}
        moved = attempts.move(c, row, step, now=now, **changes)
        assert moved is not None
        row = moved
    return row


def drive_seed(store: Store, name: str, seed: int, to: State) -> AttemptRow:
    """`drive` the current attempt of a seed in a transaction of its own."""
    with store.write() as c:
        return drive(c, current(c, name, seed), to)


def current(c: Connection, name: str, seed: int) -> AttemptRow:
    """A seed's counting attempt."""
    return next(row for row in attempts.current(c, name) if row.seed == seed)


def numbers(c: Connection, name: str) -> list[int]:
    """Numbers of a sweep's events, in order."""
    return [event.number for event in events.since(c, name, 0, 1_000_000)]


def integrity(path: Path) -> str:
    """SQLite's own verdict about a file: "ok"."""
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def _way(to: State) -> tuple[State, ...]:
    if to is State.QUEUED:
        return ()
    if to is State.SUBMITTING:
        return (to,)
    if to is State.CANCELLED:
        return (State.SUBMITTING, State.CANCELLING, to)
    if to in (State.SUBMITTED, State.CANCELLING):
        return (State.SUBMITTING, to)
    return (State.SUBMITTING, State.SUBMITTED, *(() if to is State.RUNNING else (State.RUNNING,)), to)
