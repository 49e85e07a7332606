"""Attempts of seeds: the queue, the slots, and `move`, the one way a state changes (P4, P8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from api.store import events
from api.store.attempt_rows import COLUMNS, all_of, attempt_row, key, rows, unchanged
from api.store.errors import ForbiddenMove, RetryRefused, UnknownSweep
from api.store.rows import AttemptRow, Pool
from api.store.tables import attempts, sweeps
from api.store.transitions import HELD, check
from cluster.failure import Cause, Spent
from cluster.job_client import job_id
from cluster.policy import WITHOUT_GPU, free_slots
from recur.record.result import State

_QUEUE = (attempts.c.rank, attempts.c.sweep, attempts.c.position)


def first(sweep: str, seed: int, position: int, *, pool: Pool, at: float, rank: float) -> dict[str, Any]:
    """The table row of a seed's first attempt.

    Raises:
        InputError: its job id would not be one.
    """
    return {
        "sweep": sweep,
        "seed": seed,
        "attempt": 1,
        "is_current": True,
        "state": State.QUEUED,
        "version": 1,
        "job_id": job_id(sweep, seed, 1),
        "pool": pool,
        "position": position,
        "rank": rank,
        "progress": {},
        "lost": 0,
        "preempted": 0,
        "queued_at": at,
    }


def rank(queued_at: float, priority: int, ageing_s: float) -> float:
    """Place in the queue, smallest first: each step of priority is worth ``ageing_s`` of waiting."""
    return queued_at - priority * ageing_s


def get(c: Connection, sweep: str, seed: int, attempt: int) -> AttemptRow | None:
    """One attempt."""
    row = c.execute(rows().where(key(sweep, seed, attempt))).one_or_none()
    return None if row is None else attempt_row(row)


def current(c: Connection, sweep: str) -> tuple[AttemptRow, ...]:
    """The counting attempt of every seed, seeds in the order asked for."""
    return current_of(c, [sweep])[sweep]


def current_of(c: Connection, names: Sequence[str]) -> dict[str, tuple[AttemptRow, ...]]:
    """`current` of several sweeps; an unknown one has none."""
    found: defaultdict[str, list[AttemptRow]] = defaultdict(list)
    for row in c.execute(rows().where(attempts.c.sweep.in_(names), attempts.c.is_current).order_by(attempts.c.position)):
        found[row.sweep].append(attempt_row(row))
    return {name: tuple(found[name]) for name in names}


def history(c: Connection, sweep: str) -> tuple[AttemptRow, ...]:
    """All attempts of a sweep: seeds in the order asked for, oldest first."""
    return all_of(c, rows().where(attempts.c.sweep == sweep).order_by(attempts.c.position, attempts.c.attempt))


def open_ones(c: Connection) -> tuple[AttemptRow, ...]:
    """Every attempt that was admitted and has not ended, oldest admission first."""
    return all_of(c, rows().where(attempts.c.state.in_(HELD)).order_by(attempts.c.admitted_at, *_QUEUE))


def queued(
    c: Connection, pool: Pool, limit: int, *, prepared_only: bool, sweep: str | None = None, without: Collection[str] = ()
) -> tuple[AttemptRow, ...]:
    """The head of a pool's queue: by rank, then sweep, then the sweep's own order.

    Args:
        c: the connection.
        pool: which queue.
        limit: at most that many.
        prepared_only: leave out sweeps whose data is not ready.
        sweep: only this one's.
        without: leave out these sweeps.
    """
    found = rows().where(_in_queue(pool)).order_by(*_QUEUE).limit(limit)
    if prepared_only:
        # what waits is never reported; said here, it leads to the few live ones among all prepared sweeps
        ready = select(sweeps.c.sweep).where(sweeps.c.reported_at.is_(None), sweeps.c.prepared_at.is_not(None))
        found = found.where(attempts.c.sweep.in_(ready))
    if sweep is not None:
        found = found.where(attempts.c.sweep == sweep)
    if without:
        found = found.where(attempts.c.sweep.not_in(without))
    return all_of(c, found)


def held(c: Connection, pool: Pool) -> int:
    """Slots taken: attempts admitted and not ended (P8)."""
    return int(c.scalar(select(func.count()).where(*_taken(pool))) or 0)


def without_gpu(c: Connection, pool: Pool, sweep: str) -> int:
    """Attempts of a sweep that were admitted and need no GPU for now."""
    mine = (*_taken(pool), attempts.c.sweep == sweep, attempts.c.state == State.RUNNING, attempts.c.phase.in_(WITHOUT_GPU))
    return int(c.scalar(select(func.count()).where(*mine)) or 0)


def _taken(pool: Pool) -> tuple[ColumnElement[bool], ...]:
    return attempts.c.state.in_(HELD), attempts.c.is_current, attempts.c.pool == pool


def place(c: Connection, row: AttemptRow) -> int:
    """A queued attempt's place in its pool; 1 is next."""
    own = select(attempts.c.position).where(key(row.sweep, row.seed, row.attempt)).scalar_subquery()
    same_rank = and_(attempts.c.rank == row.rank, attempts.c.sweep < row.sweep)
    same_sweep = and_(attempts.c.rank == row.rank, attempts.c.sweep == row.sweep, attempts.c.position < own)
    ahead = or_(attempts.c.rank < row.rank, same_rank, same_sweep)
    found = select(func.count()).where(_in_queue(row.pool), attempts.c.rank <= row.rank, ahead)
    return 1 + int(c.scalar(found) or 0)


def admit(
    c: Connection, pool: Pool, slots: int, *, now: float, limit: int, sweep: str | None = None, overlap: bool = False
) -> tuple[AttemptRow, ...]:
    """Move the head of the queue into free slots; they are counted in this same transaction (P8).

    Args:
        c: a writing connection.
        pool: which queue.
        slots: how many the pool has.
        now: seconds since 1970.
        limit: at most that many at once.
        sweep: only this one's, because the slots are those for its recipe.
        overlap: its recipe's: its seeds that need no GPU for now make room for its next ones, and for no other sweep's.

    Returns:
        The attempts, now SUBMITTING.
    """
    free = free_slots(slots, held(c, pool), without_gpu(c, pool, sweep) if overlap and sweep else 0)
    if free == 0:
        return ()
    waiting = queued(c, pool, min(free, limit), prepared_only=True, sweep=sweep)
    moved = [move(c, row, State.SUBMITTING, now=now) for row in waiting]
    return tuple(row for row in moved if row is not None)


def move(c: Connection, row: AttemptRow, to: State, *, now: float, **changes: Any) -> AttemptRow | None:
    """Change an attempt's state, if it is still as ``row`` says, and write the event.

    Args:
        c: a writing connection.
        row: the attempt as it was read.
        to: the new state.
        now: seconds since 1970.
        changes: other columns to set: phase, progress, reason, warning, ending, result, gates. CANCELLING needs ``ending``.

    Returns:
        The attempt as it is now; None when somebody else changed it since ``row`` was read.

    Raises:
        ForbiddenMove: ``row.state`` does not lead to ``to``.
    """
    check(row, to, changes)
    values = {**changes, **_stamps(to, now), **_copies(changes.get("result")), "state": to, "version": row.version + 1}
    changed = update(attempts).where(unchanged(row)).values(**values).returning(*COLUMNS)
    found = c.execute(changed).one_or_none()
    if found is None:
        return None
    after = attempt_row(found)
    _say_state(c, after, row.state, now)
    return after


def explain(c: Connection, row: AttemptRow, reason: str | None, *, now: float) -> AttemptRow | None:
    """Say why an open attempt stands where it stands (P9: "still CANCELLING because ..."); an event when that is news.

    Returns:
        The attempt as it is now; None when somebody else changed it since ``row`` was read.

    Raises:
        ForbiddenMove: the attempt has ended.
    """
    if row.state.terminal:
        raise ForbiddenMove(f"{row.job_id} is {row.state}; terminal is final")
    if reason == row.reason:
        return row
    changed = update(attempts).where(unchanged(row)).values(reason=reason, version=row.version + 1).returning(*COLUMNS)
    found = c.execute(changed).one_or_none()
    if found is None:
        return None
    after = attempt_row(found)
    _say_state(c, after, row.state, now)
    return after


def beat(c: Connection, row: AttemptRow, *, phase: str | None, progress: Mapping[str, Any], now: float, say: bool) -> None:
    """Keep the latest heartbeat of an attempt that has not ended; its version stays.

    Args:
        c: a writing connection.
        row: the attempt.
        phase, progress: what it is doing.
        now: seconds since 1970.
        say: write a "progress" event.
    """
    alive = and_(key(row.sweep, row.seed, row.attempt), attempts.c.state.in_(HELD))
    done = c.execute(update(attempts).where(alive).values(phase=phase, progress=dict(progress)))
    if say and done.rowcount:
        data = {"phase": phase, "progress": dict(progress)}
        events.add(c, row.sweep, "progress", at=now, seed=row.seed, attempt=row.attempt, data=data)


def warn(c: Connection, row: AttemptRow, text: str, *, now: float) -> None:
    """Add a warning to an attempt, ended or not (P4); one it already has is not repeated. Its version stays."""
    mine = key(row.sweep, row.seed, row.attempt)
    before = c.execute(select(attempts.c.warning).where(mine)).scalar_one()
    if before and text in before:
        return
    c.execute(update(attempts).where(mine).values(warning=f"{before}; {text}" if before else text))
    events.add(c, row.sweep, "warning", at=now, seed=row.seed, attempt=row.attempt, data={"warning": text})


def retry(
    c: Connection, sweep: str, seed: int, *, now: float, ageing_s: float, adopt_from: int | None, automatic: Cause | None
) -> AttemptRow:
    """Put a new attempt of an ended seed into the queue.

    The sweep is live again: it counts as neither cancelled nor reported.

    Args:
        c: a writing connection.
        sweep, seed: whose.
        now: seconds since 1970.
        ageing_s: what a step of priority is worth in waiting.
        adopt_from: earlier attempt whose finished phases the new one takes over.
        automatic: why, where nobody asked for it; None where somebody did.

    Raises:
        UnknownSweep: no such sweep or seed.
        RetryRefused: the seed has not ended, or its sweep was cancelled and the retry is automatic.
    """
    of = (attempts.c.sweep == sweep, attempts.c.seed == seed, attempts.c.is_current)
    old = c.execute(select(attempts, sweeps.c.priority, sweeps.c.cancelled_at).join(sweeps).where(*of)).one_or_none()
    if old is None:
        raise UnknownSweep(f"there is no seed {seed} in a sweep {sweep!r}")
    if not State(old.state).terminal:
        raise RetryRefused(f"{old.job_id} is {old.state}, so it cannot be tried again yet")
    if automatic is not None and old.cancelled_at is not None:
        raise RetryRefused(f"{sweep} was cancelled, so {old.job_id} is not tried again")
    new = first(sweep, seed, old.position, pool=Pool(old.pool), at=now, rank=rank(now, old.priority, ageing_s))
    new |= {"attempt": old.attempt + 1, "job_id": job_id(sweep, seed, old.attempt + 1)}
    had = Spent(lost=old.lost, preempted=old.preempted)
    new |= asdict(had.plus(automatic) if automatic is not None else had)
    c.execute(update(attempts).where(key(sweep, seed, old.attempt)).values(is_current=False))
    row = attempt_row(c.execute(insert(attempts).values(**new, adopt_from=adopt_from).returning(*COLUMNS)).one())
    alive = {"cancelled_at": None, "reported_at": None, "rank": row.rank, "version": sweeps.c.version + 1}
    c.execute(update(sweeps).where(sweeps.c.sweep == sweep).values(**alive))
    data = {"state": row.state, "job_id": row.job_id, "automatic": automatic is not None, "adopt_from": adopt_from}
    events.add(c, sweep, "retry", at=now, seed=seed, attempt=row.attempt, data=data)
    return row


def _in_queue(pool: Pool) -> ColumnElement[bool]:
    """It waits in this pool; `attempts.c.is_current` always holds then and leads to the index."""
    return and_(attempts.c.state == State.QUEUED, attempts.c.is_current, attempts.c.pool == pool)


def _stamps(to: State, now: float) -> dict[str, Any]:
    if to is State.SUBMITTING:
        return {"admitted_at": now}
    if to is State.SUBMITTED:
        return {"submitted_at": now}
    if to is State.RUNNING:
        return {"running_at": now, "submitted_at": func.coalesce(attempts.c.submitted_at, now)}
    return {"ended_at": now} if to.terminal else {}


def _copies(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """What lists show of a result."""
    if result is None:
        return {}
    return {"val_bpb": (result.get("val_bpb") or {}).get("sliding"), "total_bytes": result.get("total_bytes")}


def _say_state(c: Connection, row: AttemptRow, before: State, now: float) -> None:
    data = {"from": before, "state": row.state, "job_id": row.job_id, "reason": row.reason, "warning": row.warning}
    events.add(c, row.sweep, "state", at=now, seed=row.seed, attempt=row.attempt, data=data)
