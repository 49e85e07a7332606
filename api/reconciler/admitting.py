"""From the queue into free slots; they are counted inside the admitting transaction (P8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.reconciler.desk import Desk, Round
from api.reconciler.slots import Slots
from api.reconciler.values import SlotCount
from api.store import attempts, sweeps
from api.store.rows import AttemptRow, Pool, SweepRow

MOST_AT_ONCE = 32
"""Each admission is followed by a call of the job system."""
MOST_PASSED = 16
"""Sweeps that fit nowhere, looked at in one round."""


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

        Slots are those for the recipe of what is next, and only its sweep gets them: for the sweep behind it they are counted
        anew. A sweep that fits nowhere now (its node is gone) is passed over; one that only waits for a free slot is not.
        """
        if round_.unreachable is not None:
            return Admitted(rows=(), count=self._waiting(pool))
        rows: list[AttemptRow] = []
        passed: list[str] = []
        counts: list[SlotCount] = []
        while len(rows) < MOST_AT_ONCE and len(passed) < MOST_PASSED:
            head = self._head(pool, passed)
            if head is None:
                break
            counts.append(self.slots.of(pool, head))
            slots = counts[-1].slots
            if not slots:
                passed.append(head.sweep)
                continue
            admitted = self._admit(head, slots, MOST_AT_ONCE - len(rows))
            if not admitted:
                break
            rows += admitted
        counts = counts or [self._waiting(pool)]
        return Admitted(rows=tuple(rows), count=next((one for one in counts if one.slots), counts[0]))

    def _head(self, pool: Pool, passed: Sequence[str]) -> SweepRow | None:
        """The sweep of the first prepared seed that waits."""
        with self.desk.store.read() as c:
            ready = attempts.queued(c, pool, 1, prepared_only=True, without=passed)
            return sweeps.get(c, ready[0].sweep) if ready else None

    def _waiting(self, pool: Pool) -> SlotCount:
        """Slots for the first seed that waits, prepared or not."""
        with self.desk.store.read() as c:
            first = attempts.queued(c, pool, 1, prepared_only=False)
            head = sweeps.get(c, first[0].sweep) if first else None
        return self.slots.of(pool, head)

    def _admit(self, head: SweepRow, slots: int, limit: int) -> tuple[AttemptRow, ...]:
        now, overlap = self.desk.clock(), bool(head.recipe.get("cluster", {}).get("overlap"))
        with self.desk.store.write() as c:
            rows = attempts.admit(c, head.pool, slots, now=now, limit=limit, sweep=head.sweep, overlap=overlap)
        if rows:
            self.desk.boundary("lease")
        for row in rows:
            self.desk.observer.admitted(now - row.queued_at)
        return rows
