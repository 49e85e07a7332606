"""Sweeps: taken in, prepared, cancelled, reported. A sweep's state is derived from its attempts, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, insert, or_, select, update

from api.store import attempts as seeds
from api.store import events
from api.store.errors import UnknownSweep
from api.store.listing import ListedPage, ListedSweep, listed
from api.store.rows import Ending, NewSweep, Pool, SweepRow
from api.store.tables import attempts, sweeps
from api.store.transitions import OPEN
from recur.record.result import State, worst

__all__ = [
    "ListedPage",
    "ListedSweep",
    "cancel_asked",
    "create",
    "get",
    "listed",
    "prepare_again",
    "prepared",
    "reported",
    "state_of",
    "unbegun",
    "unprepared",
    "unreported",
]
_COLUMNS = [column for column in sweeps.c if column.name != "rank"]


def create(c: Connection, new: NewSweep, *, ageing_s: float) -> SweepRow:
    """Take in a sweep: its row, one QUEUED attempt a seed, and the event "created".

    Args:
        c: a writing connection.
        new: the checked submission.
        ageing_s: what a step of priority is worth in waiting.

    Raises:
        InputError: a job id made of the sweep's name would not be one.
    """
    rank = seeds.rank(new.created_at, new.priority, ageing_s)
    first = [
        seeds.first(new.sweep, seed, position, pool=new.pool, at=new.created_at, rank=rank)
        for position, seed in enumerate(new.seeds)
    ]
    row = {name: getattr(new, name) for name in new.__dataclass_fields__}
    row |= {
        "overrides": dict(new.overrides),
        "recipe": dict(new.recipe),
        "rank": rank,
        "note": "",
        "event_count": 0,
        "version": 1,
    }
    c.execute(insert(sweeps).values(**row))
    c.execute(insert(attempts), first)
    data = {"name": new.name, "profile": new.profile, "seeds": list(new.seeds), "priority": new.priority}
    events.add(c, new.sweep, "created", at=new.created_at, data=data)
    return _known(c, new.sweep)


def get(c: Connection, sweep: str) -> SweepRow | None:
    """One sweep."""
    row = c.execute(_rows().where(sweeps.c.sweep == sweep)).one_or_none()
    return None if row is None else _sweep(row)


def state_of(states: Iterable[State]) -> State:
    """A sweep's state from its current attempts'."""
    return worst(list(states))


def unprepared(c: Connection, limit: int) -> tuple[SweepRow, ...]:
    """Sweeps whose data is to be made ready: in the order of the queue, not cancelled, with seeds that wait."""
    found = _rows().where(sweeps.c.prepared_at.is_(None), sweeps.c.cancelled_at.is_(None), _waits())
    return _all(c, found.order_by(sweeps.c.rank, sweeps.c.sweep).limit(limit))


def _waits() -> Any:
    """That a sweep has seeds that wait."""
    return exists().where(attempts.c.sweep == sweeps.c.sweep, attempts.c.is_current, attempts.c.state == State.QUEUED)


def prepared(
    c: Connection,
    sweep: str,
    *,
    fingerprint: str,
    dataset_root: str,
    note: str,
    recipe: Mapping[str, Any],
    now: float,
) -> SweepRow | None:
    """Note that a sweep can start.

    Args:
        c: a writing connection.
        sweep: which.
        fingerprint: of the recipe.
        dataset_root: folder of its data.
        note: what is odd about the placement.
        recipe: as it will run.
        now: seconds since 1970.

    Returns:
        The sweep; None where it was prepared or cancelled meanwhile, or is not known.
    """
    values = {"fingerprint": fingerprint, "dataset_root": dataset_root, "note": note, "recipe": dict(recipe), "prepared_at": now}
    waiting = (sweeps.c.sweep == sweep, sweeps.c.prepared_at.is_(None), sweeps.c.cancelled_at.is_(None))
    if not c.execute(update(sweeps).where(*waiting).values(**values, version=sweeps.c.version + 1)).rowcount:
        return None
    events.add(c, sweep, "prepared", at=now, data={"fingerprint": fingerprint, "note": note})
    return _known(c, sweep)


def unbegun(c: Connection) -> tuple[SweepRow, ...]:
    """Prepared sweeps that wait and of which no seed has ever been admitted, in the order of the queue."""
    begun = or_(attempts.c.admitted_at.is_not(None), attempts.c.state.not_in((State.QUEUED, State.CANCELLED)))
    none = ~exists().where(attempts.c.sweep == sweeps.c.sweep, begun)
    found = _rows().where(sweeps.c.reported_at.is_(None), sweeps.c.prepared_at.is_not(None), _waits(), none)
    return _all(c, found.order_by(sweeps.c.rank, sweeps.c.sweep))


def prepare_again(c: Connection, row: SweepRow) -> bool:
    """Forget that a sweep of which no seed has begun was prepared; False where it has changed since it was read."""
    same = (sweeps.c.sweep == row.sweep, sweeps.c.version == row.version)
    return bool(c.execute(update(sweeps).where(*same).values(prepared_at=None, version=sweeps.c.version + 1)).rowcount)


def cancel_asked(c: Connection, sweep: str, *, now: float) -> SweepRow:
    """Cancel what has not ended: QUEUED seeds at once, the others become CANCELLING (P9). Asking again changes nothing.

    Raises:
        UnknownSweep: no such sweep.
    """
    first = (sweeps.c.sweep == sweep, sweeps.c.cancelled_at.is_(None))
    if c.execute(update(sweeps).where(*first).values(cancelled_at=now, version=sweeps.c.version + 1)).rowcount:
        events.add(c, sweep, "cancel_asked", at=now)
    for row in seeds.current(c, sweep):
        if row.state is State.QUEUED:
            seeds.move(c, row, State.CANCELLED, now=now, reason="cancelled before it started", ending=Ending.CANCEL)
        elif not row.state.terminal and row.state is not State.CANCELLING:
            seeds.move(c, row, State.CANCELLING, now=now, ending=Ending.CANCEL)
    return _known(c, sweep)


def unreported(c: Connection, limit: int) -> tuple[SweepRow, ...]:
    """Prepared sweeps whose last seed has ended and whose report is still to be written, oldest first."""
    is_open = exists().where(attempts.c.sweep == sweeps.c.sweep, attempts.c.is_current, attempts.c.state.in_(OPEN))
    found = _rows().where(sweeps.c.reported_at.is_(None), sweeps.c.prepared_at.is_not(None), ~is_open)
    return _all(c, found.order_by(sweeps.c.created_at, sweeps.c.sweep).limit(limit))


def reported(c: Connection, row: SweepRow, *, record_path: str | None, warning: str | None, now: float) -> SweepRow | None:
    """Note that a sweep's report is written.

    Args:
        c: a writing connection.
        row: the sweep as it was when its report was begun; a retry changes it, also one that has ended meanwhile.
        record_path: the record folder, relative to the sweep's folder.
        warning: what a reader must know about it.
        now: seconds since 1970.

    Returns:
        The sweep; None where a retry came between or it has its report already.
    """
    is_open = exists().where(attempts.c.sweep == row.sweep, attempts.c.is_current, attempts.c.state.in_(OPEN))
    done = (sweeps.c.sweep == row.sweep, sweeps.c.version == row.version, sweeps.c.reported_at.is_(None), ~is_open)
    values = {"reported_at": now, "record_path": record_path, "warning": warning, "version": sweeps.c.version + 1}
    if not c.execute(update(sweeps).where(*done).values(**values)).rowcount:
        return None
    events.add(c, row.sweep, "reported", at=now, data={"record_path": record_path, "warning": warning})
    return _known(c, row.sweep)


def _known(c: Connection, sweep: str) -> SweepRow:
    row = get(c, sweep)
    if row is None:
        raise UnknownSweep(f"there is no sweep {sweep!r}")
    return row


def _rows() -> Select[Any]:
    return select(*_COLUMNS)


def _all(c: Connection, query: Select[Any]) -> tuple[SweepRow, ...]:
    return tuple(_sweep(row) for row in c.execute(query))


def _sweep(row: Row[Any]) -> SweepRow:
    data = dict(row._mapping)
    return SweepRow(**data | {"seeds": tuple(data["seeds"]), "pool": Pool(data["pool"])})
