"""Rows of the attempts table as `AttemptRow`, and the conditions that find them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from api.store.rows import AttemptRow, Ending, Pool
from api.store.tables import attempts
from cluster.failure import Spent
from recur.record.result import State

_HIDDEN = ("position", "val_bpb", "total_bytes")
COLUMNS = [column for column in attempts.c if column.name not in _HIDDEN]


def rows() -> Select[Any]:
    """A query for whole attempts, to be narrowed."""
    return select(*COLUMNS)


def key(sweep: str, seed: int, attempt: int) -> ColumnElement[bool]:
    """It is this attempt."""
    return and_(attempts.c.sweep == sweep, attempts.c.seed == seed, attempts.c.attempt == attempt)


def unchanged(row: AttemptRow) -> ColumnElement[bool]:
    """It is this attempt and nobody changed it since it was read."""
    return and_(key(row.sweep, row.seed, row.attempt), attempts.c.version == row.version, attempts.c.state == row.state)


def all_of(c: Connection, query: Select[Any]) -> tuple[AttemptRow, ...]:
    """What a query made of `rows` finds."""
    return tuple(attempt_row(row) for row in c.execute(query))


def attempt_row(row: Row[Any]) -> AttemptRow:
    """One row of `COLUMNS`."""
    data = dict(row._mapping)
    data["current"] = bool(data.pop("is_current"))
    data["state"], data["pool"] = State(data["state"]), Pool(data["pool"])
    data["ending"] = None if data["ending"] is None else Ending(data["ending"])
    data["had"] = Spent(lost=data.pop("lost"), preempted=data.pop("preempted"))
    data["gates"] = None if data["gates"] is None else tuple(data["gates"])
    return AttemptRow(**data)
