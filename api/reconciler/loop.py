"""The loop that makes what the store says true: it alone talks to the job system, and it can be killed at any point.

A round: look at open attempts and act on what is seen; submit what is SUBMITTING; prepare; admit, and submit what was
admitted; report. Nothing is kept in memory that the next process needs, so a restart needs no recovery: open rows are the
adoption (P11). What a restart forgets is told later or not at all, and changes no state: since when a job has been silent or
refused, and which ended attempts might still leave a late result.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.reconciler.admitting import Admitting
from api.reconciler.desk import Desk, Round
from api.reconciler.ending import Endings
from api.reconciler.helper import Helper
from api.reconciler.observing import WATCHED, Observing
from api.reconciler.preparing import Preparing
from api.reconciler.reporting import Reporting
from api.reconciler.slots import Slots
from api.reconciler.submitting import Submitting
from api.reconciler.values import NO_OBSERVER, Health, Observer, ReconcilerSettings, SlotCount, Tick
from api.store import Store, StoreUnavailable, attempts
from api.store.rows import AttemptRow, Pool
from cluster.deadline import Deadline, TimedJobs
from cluster.job_client import Cluster, JobClient
from recur.record.result import State

_HELPER_POLL_S = 0.1
_log = logging.getLogger(__name__)


class Reconciler:
    """Brings store, job system and folders together, round by round.

    Args:
        store: the service's database.
        jobs: the job system.
        cluster: the machines behind it.
        helper: prepares and reports.
        out: folder of the sweeps, absolute.
        settings: how it works.
        clock: seconds since 1970.
        boundary: called with the name of each point at which a test may kill the process.
        observer: counts what it does.

    Attributes:
        health: what can be said about it now; replaced as a whole, so that any thread may read it.
    """

    def __init__(
        self,
        store: Store,
        jobs: JobClient,
        cluster: Cluster,
        helper: Helper,
        *,
        out: Path,
        settings: ReconcilerSettings,
        clock: Callable[[], float],
        boundary: Callable[[str], None] = lambda _: None,
        observer: Observer = NO_OBSERVER,
    ) -> None:
        timed = TimedJobs(jobs, cluster, Deadline(settings.call_timeout_s))
        desk = Desk(store=store, jobs=timed, out=out, settings=settings, clock=clock, boundary=boundary, observer=observer)
        self._desk, endings = desk, Endings(desk=desk)
        self._observing = Observing(desk=desk, endings=endings)
        self._submitting = Submitting(desk=desk, endings=endings)
        self._slots = Slots(desk=desk)
        self._admitting = Admitting(desk=desk, slots=self._slots)
        self._preparing = Preparing(desk=desk, helper=helper, slots=self._slots)
        self._reporting = Reporting(desk=desk, helper=helper)
        self._wake = threading.Event()
        self._said: str | None = None
        unknown = {pool: SlotCount(slots=None, source="not asked yet") for pool in Pool}
        self.health = Health(at=None, degraded=None, slots=unknown, address=timed.address)

    def nudge(self) -> None:
        """Something has changed: the next round begins at once."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Rounds until ``stop`` is set; then what the helper does is ended (it is begun again by the next process)."""
        try:
            while not stop.is_set():
                self.tick()
                self._rest()
                self._wake.clear()
        finally:
            self._preparing.errand.kill()
            self._reporting.errand.kill()

    def _rest(self) -> None:
        """Until the next round is due, something has changed, or what the helper does now has ended."""
        under_way = [one for one in (self._preparing.errand, self._reporting.errand) if one.busy and not one.ended]
        until = time.monotonic() + self._desk.settings.tick_s
        while (left_s := until - time.monotonic()) > 0 and not any(one.ended for one in under_way):
            if self._wake.wait(min(left_s, _HELPER_POLL_S) if under_way else left_s):
                return

    def tick(self) -> Tick:
        """One round. What is expected to go wrong (job system or database away, damaged files, full disk) is in its result."""
        desk, round_ = self._desk, Round()
        began, admitted, open_, counts = desk.clock(), 0, 0, dict(self.health.slots)
        try:
            self._slots.count_nodes(round_)
            open_ = self._attend_open(round_)
            self._preparing.attend(round_)
            for pool in Pool:
                done = self._admitting.admit(pool, round_)
                self._submit(done.rows, round_)
                admitted, counts[pool] = admitted + len(done.rows), done.count
            self._reporting.attend(round_)
            with round_.guard("late results"):
                desk.tell_late_results()
        except StoreUnavailable as error:
            round_.errors.append(str(error))
            _log.warning("store_unavailable error=%s", error)
        tick = Tick(
            at=began,
            duration_s=desk.clock() - began,
            admitted=admitted,
            open=open_ + admitted,
            unreachable=round_.unreachable,
            errors=tuple(round_.errors),
        )
        self._tell(tick, counts)
        return tick

    def _attend_open(self, round_: Round) -> int:
        """Every attempt that holds a slot; after a call that finds the job system away, the others keep their state.

        Returns:
            How many there were.
        """
        with self._desk.store.read() as c:
            rows = attempts.open_ones(c)
        names = {row.job_id for row in rows}
        for gone in [name for name in self._desk.watches if name not in names]:
            del self._desk.watches[gone]
        for row in rows:
            if row.state in WATCHED and round_.unreachable is None:
                self._observing.attend(row, round_)
        self._submit([row for row in rows if row.state is State.SUBMITTING], round_)
        return len(rows)

    def _submit(self, rows: list[AttemptRow] | tuple[AttemptRow, ...], round_: Round) -> None:
        for row in rows:
            if round_.unreachable is None:
                self._submitting.attend(row, round_)
            else:
                self._desk.watch(row).refused_since = None  # what follows an outage is another refusal

    def _tell(self, tick: Tick, counts: dict[Pool, SlotCount]) -> None:
        degraded = tick.unreachable or (tick.errors[0] if tick.errors else None)
        if degraded != self._said:
            _log.warning("degraded why=%s", degraded)
            self._said = degraded
        self._desk.observer.ticked(tick.duration_s)
        self.health = Health(
            at=self._desk.clock(),
            degraded=degraded,
            slots=counts,
            address=self._desk.jobs.address,
            preparing=self._preparing.errand.name,
        )
