"""Numbers for the metrics."""

from __future__ import annotations

from sqlalchemy import Connection, func, not_, select

from api.store.rows import Pool
from api.store.tables import attempts
from recur.record.result import State


def states(c: Connection, *, replaced: bool = False) -> dict[State, int]:
    """How many attempts are in each state, current ones or those that another one has replaced; states without any are 0."""
    which = not_(attempts.c.is_current) if replaced else attempts.c.is_current
    by_state = select(attempts.c.state, func.count()).where(which).group_by(attempts.c.state)
    found = {State(state): count for state, count in c.execute(by_state)}
    return {state: found.get(state, 0) for state in State}


def queue_depth(c: Connection) -> dict[Pool, int]:
    """How many attempts wait in each pool."""
    waiting = (attempts.c.state == State.QUEUED, attempts.c.is_current)
    by_pool = select(attempts.c.pool, func.count()).where(*waiting).group_by(attempts.c.pool)
    found = {Pool(pool): count for pool, count in c.execute(by_pool)}
    return {pool: found.get(pool, 0) for pool in Pool}


def oldest_queued_at(c: Connection) -> float | None:
    """When the attempt that waits longest was queued, seconds since 1970; None where none waits."""
    waiting = (attempts.c.state == State.QUEUED, attempts.c.is_current)
    oldest = c.scalar(select(func.min(attempts.c.queued_at)).where(*waiting))
    return None if oldest is None else float(oldest)
