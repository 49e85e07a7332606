"""Why is mine waiting: a seed's place in its pool's queue, what holds the slots, what is missing, when it may start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection

from api.models import Queue, QueueLine, SlotView, Waiting
from api.service.context import Context
from api.service.times import instant
from api.store import attempts, counts, finished, sweeps
from api.store.rows import AttemptRow, Pool, SweepRow
from recur.record.result import State

_SHOWN_HOLDERS = 20
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """A pool at one moment.

    Attributes:
        slots: None where it is not known.
        holders: admitted attempts that have not ended, oldest first.
        source: where the number of slots is from.
        why: what is odd about the number ("" for nothing).
        degraded: why the job system cannot be asked; None while it can.
        preparing: sweep whose data is being prepared now.
    """

    pool: Pool
    slots: int | None
    holders: tuple[AttemptRow, ...]
    source: str
    why: str
    degraded: str | None
    preparing: str | None


def pools(ctx: Context, c: Connection) -> dict[Pool, PoolState]:
    """All pools now."""
    holders = attempts.open_ones(c)
    health = ctx.reconciler.health if ctx.reconciler is not None else None
    found = {}
    for pool in Pool:
        count = health.slots.get(pool) if health is not None else None
        found[pool] = PoolState(
            pool=pool,
            slots=count.slots if count else None,
            holders=tuple(row for row in holders if row.pool is pool),
            source=count.source if count else "no reconciler has looked yet",
            why=(count.why or "") if count else "",
            degraded=health.degraded if health is not None else None,
            preparing=health.preparing if health is not None else None,
        )
    return found


def waiting_of(ctx: Context, c: Connection, row: SweepRow, queued: Sequence[AttemptRow]) -> dict[int, Waiting]:
    """Why each of a sweep's queued seeds waits, by seed; ``queued`` in the sweep's order."""
    if not queued:
        return {}
    pool = pools(ctx, c)[row.pool]
    firsts: dict[float, int] = {}
    seen: dict[float, int] = {}
    found = {}
    for attempt in queued:  # equal ranks of one sweep stand one after the other: only the first is looked up
        if attempt.rank not in firsts:
            firsts[attempt.rank] = attempts.place(c, attempt)
        place = firsts[attempt.rank] + seen.get(attempt.rank, 0)
        seen[attempt.rank] = seen.get(attempt.rank, 0) + 1
        found[attempt.seed] = explained(ctx, c, row, pool, place)
    return found


def explained(ctx: Context, c: Connection, row: SweepRow, pool: PoolState, place: int) -> Waiting:
    """The reason for one place in the queue, the nearest first."""
    return Waiting(place=place, why=_why(row, pool, place), starts_after=_starts_after(ctx, c, row, pool, place))


def queue_view(ctx: Context, limit: int = 100) -> Queue:
    """What runs, what waits and why; at most ``limit`` waiting seeds of each pool."""
    with ctx.store.read() as c:
        now = pools(ctx, c)
        waiting = [line for pool in Pool for line in _lines(ctx, c, now[pool], limit)]
        total = sum(counts.queue_depth(c).values())
    return Queue(
        slots=[
            SlotView(
                pool=state.pool.value,
                slots=state.slots,
                held=len(state.holders),
                holders=[row.job_id for row in state.holders[:_SHOWN_HOLDERS]],
                source=state.source + (f" ({state.why})" if state.why else ""),
            )
            for state in now.values()
        ],
        waiting=waiting,
        total_waiting=total,
        degraded=next((state.degraded for state in now.values() if state.degraded), None),
    )


def _lines(ctx: Context, c: Connection, pool: PoolState, limit: int) -> list[QueueLine]:
    queued = attempts.queued(c, pool.pool, limit, prepared_only=False)
    known: dict[str, SweepRow] = {}
    lines = []
    for place, attempt in enumerate(queued, 1):
        row = known.get(attempt.sweep) or sweeps.get(c, attempt.sweep)
        if row is None:
            continue
        known[attempt.sweep] = row
        lines.append(
            QueueLine(
                sweep=row.sweep,
                name=row.name,
                seed=attempt.seed,
                attempt=attempt.attempt,
                pool=pool.pool.value,
                queued_at=instant(attempt.queued_at),
                waiting=explained(ctx, c, row, pool, place),
            )
        )
    return lines


def _why(row: SweepRow, pool: PoolState, place: int) -> str:
    if pool.degraded:
        return f"the job system cannot be asked: {pool.degraded}"
    if row.prepared_at is None:
        return "its data is being prepared" if pool.preparing == row.sweep else "its data must be prepared first"
    if pool.slots == 0:
        return pool.why or f"the {pool.pool} pool has no slots"
    if pool.slots is None:
        return pool.why or f"it is not known yet how many seeds the {pool.pool} pool can hold"
    if len(pool.holders) >= pool.slots:
        names = ", ".join(held.job_id for held in pool.holders[:_NAMED])
        more = f" and {len(pool.holders) - _NAMED} more" if len(pool.holders) > _NAMED else ""
        slots = f"the only {pool.pool} slot is" if pool.slots == 1 else f"all {pool.slots} {pool.pool} slots are"
        return f"{slots} held by {names}{more}"
    free = pool.slots - len(pool.holders)
    if place <= free:
        return "a slot is free: it starts with the next round"
    return "1 seed stands before it" if place == 2 else f"{place - 1} seeds stand before it"


def _starts_after(ctx: Context, c: Connection, row: SweepRow, pool: PoolState, place: int) -> str | None:
    """A guess from how long finished seeds of this profile held their slots; None where nothing can be said."""
    if pool.degraded or not pool.slots:
        return None
    spent = ctx.cache.get(("durations", row.profile, ctx.clock() // 30), lambda: finished.durations_s(c, row.profile))
    if not spent:
        return None
    usual_s, now = median(spent), ctx.clock()
    ends_s = sorted(max(0.0, (held.admitted_at or now) + usual_s - now) for held in pool.holders)
    free = max(0, pool.slots - len(pool.holders))
    if place <= free:
        return "now"
    rounds, at = divmod(place - free - 1, pool.slots)
    wait_s = (ends_s[min(at, len(ends_s) - 1)] if ends_s else 0.0) + rounds * usual_s
    return f"about {told_s(wait_s)} (from {len(spent)} finished {'seed' if len(spent) == 1 else 'seeds'} of {row.profile})"


def told_s(seconds: float) -> str:
    """``under a minute``, ``12 min``, ``3.5 h``: coarse, because it is a guess."""
    if seconds < 60:
        return "under a minute"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def queued_of(rows: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Those that wait."""
    return [row for row in rows if row.state is State.QUEUED]
