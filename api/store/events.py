"""Events: what happened to a sweep, numbered 1, 2, 3 ... without gaps and in the order of commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from api.store.errors import UnknownSweep
from api.store.rows import EventRow
from api.store.tables import events, sweeps
from api.store.types import clean_json


def add(
    c: Connection,
    sweep: str,
    kind: str,
    *,
    at: float,
    seed: int | None = None,
    attempt: int | None = None,
    data: Mapping[str, Any] | None = None,
) -> EventRow:
    """Write the sweep's next event.

    The number is counted up in the sweep's own row, which stays locked until the commit.

    Raises:
        UnknownSweep: no such sweep.
    """
    counted = update(sweeps).where(sweeps.c.sweep == sweep).values(event_count=sweeps.c.event_count + 1)
    number = c.execute(counted.returning(sweeps.c.event_count)).scalar_one_or_none()
    if number is None:
        raise UnknownSweep(f"there is no sweep {sweep!r}")
    row = EventRow(sweep=sweep, number=number, at=at, kind=kind, seed=seed, attempt=attempt, data=clean_json(data or {}))
    c.execute(insert(events).values(sweep=sweep, number=number, at=at, kind=kind, seed=seed, attempt=attempt, data=row.data))
    return row


def since(c: Connection, sweep: str, number: int, limit: int) -> tuple[EventRow, ...]:
    """The events after ``number``, oldest first, at most ``limit``."""
    found = select(events).where(events.c.sweep == sweep, events.c.number > number).order_by(events.c.number).limit(limit)
    return tuple(_event(row) for row in c.execute(found))


def _event(row: Row[Any]) -> EventRow:
    return EventRow(**row._mapping)
