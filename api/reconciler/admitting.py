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


@dataclass(kw_only=True)
class Admitting:
    """Admits what fits."""

    desk: Desk
    slots: Slots

    def admit(self, pool: Pool, round_: Round) -> tuple[AttemptRow, ...]:
        """Admit from one pool; nothing while the job system is away."""
        count = self.count(pool)
        if not count.slots or round_.unreachable is not None:
            return ()
        now = self.desk.clock()
        with self.desk.store.write() as c:
            admitted = attempts.admit(c, pool, count.slots, now=now, limit=MOST_AT_ONCE)
        if admitted:
            self.desk.boundary("lease")
        for row in admitted:
            self.desk.observer.admitted(now - row.queued_at)
        return admitted

    def count(self, pool: Pool) -> SlotCount:
        """Slots for what is next in a pool: the first prepared seed, else the first one."""
        with self.desk.store.read() as c:
            first = attempts.queued(c, pool, 1, prepared_only=True) or attempts.queued(c, pool, 1, prepared_only=False)
            head = sweeps.get(c, first[0].sweep) if first else None
        return self.slots.of(pool, head)
