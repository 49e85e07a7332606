"""From the queue into free slots; they are counted inside the admitting transaction (P8)."""

from __future__ import annotations

from dataclasses import dataclass

from api.reconciler.desk import Desk, Round
from api.reconciler.slots import Slots
from api.reconciler.values import SlotCount
from api.store import attempts, sweeps
from api.store.rows import AttemptRow, Pool

MOST_AT_ONCE = 32
"""Each admission is followed by a call of the job system."""


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """What left a pool's queue, and how many slots the pool has."""

    rows: tuple[AttemptRow, ...]
    count: SlotCount


@dataclass(kw_only=True)
class Admitting:
    """Admits what fits."""

    desk: Desk
    slots: Slots

    def admit(self, pool: Pool, round_: Round) -> Admitted:
        """Admit from one pool; nothing while the job system is away.

        The slots are those for what is next: the first prepared seed, else the first one.
        """
        with self.desk.store.read() as c:
            ready = attempts.queued(c, pool, 1, prepared_only=True)
            first = ready or attempts.queued(c, pool, 1, prepared_only=False)
            head = sweeps.get(c, first[0].sweep) if first else None
        count = self.slots.of(pool, head)
        if not ready or not count.slots or round_.unreachable is not None:
            return Admitted(rows=(), count=count)
        now = self.desk.clock()
        with self.desk.store.write() as c:
            rows = attempts.admit(c, pool, count.slots, now=now, limit=MOST_AT_ONCE)
        if rows:
            self.desk.boundary("lease")
        for row in rows:
            self.desk.observer.admitted(now - row.queued_at)
        return Admitted(rows=rows, count=count)
