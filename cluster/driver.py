"""A sweep from the command line's values to its table: join, check, prepare, run, report. All of jobs/record.py's work."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from cluster import session as ray_session
from cluster.beside import check_beside, prepare_beside
from cluster.job_client import RayJobs
from cluster.launch import LOG_FILE
from cluster.reporting import publish_sweep
from cluster.request import Order, Prepared, check_order, prepare_sweep
from cluster.resources import seed_slots
from cluster.seats import Seat, resume_seats
from cluster.signals import Flag
from cluster.storage import sole_driver
from cluster.sweep import SweepLoop
from cluster.telemetry import Display, Gauges, terminal_display, view
from recur.errors import StorageError
from recur.record.beside import beside_table
from recur.record.folder import About
from recur.record.plots import read_histories, write_plots
from recur.record.report import write_sweep
from recur.record.result import State, SweepResult, summarise
from recur.record.table import sweep_table

_log = logging.getLogger(__name__)
EXIT_OK, EXIT_FAILED, EXIT_INPUT, EXIT_SIGNALLED = 0, 1, 2, 128


class Interrupt:
    """Ctrl-C and SIGTERM while jobs run: the first asks the loop to cancel, a second Ctrl-C ends the wait."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._wake = Flag()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Our handlers inside, the former ones afterwards. After `ray.init`, which sets its own."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """Wait, unless a signal comes; after one, wait in full so that the loop does not spin."""
        if self.signal is None:
            self._wake.wait(seconds)
        else:
            time.sleep(min(seconds, 0.2))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        self._wake.set()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What is left of a driven sweep: its exit code, its result, and whether a resume would run nothing."""

    code: int
    result: SweepResult
    complete: bool


Drive = Callable[[Prepared, Interrupt, str], Ended]
"""Drives one sweep to its end; the text says how to go on with it."""


def run_record(order: Order, root: Path) -> int:
    """Run a sweep to its end and report it; with ``order.beside`` another one after it, and both beside each other.

    Args:
        order: what the user asked for.
        root: the repository.

    Returns:
        The exit code: `exit_code` of the seeds, or 128 + signal when it was interrupted; the worse one of two sweeps.

    Raises:
        InputError: the user's to mend.
        RecurError: the sweep could not be run.
    """
    checked, console = check_order(order), Console()
    check_beside(checked)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    session = ray_session.join(root, order.address)
    try:
        how = "started here" if session.started_here else "joined"
        say(f"ray {how}: dashboard {session.dashboard}, metrics {session.metrics}")
        first = prepare_sweep(checked, session, say)
        second = prepare_beside(checked, first, session, say)
        go_on = f"--resume {first.plan.sweep}" + (f" --beside {order.beside}" if second else "")

        def drive(prepared: Prepared, interrupt: Interrupt, go_on: str) -> Ended:
            return _Drive(prepared, session, console, go_on, order.about).run(interrupt)

        return run_sweeps([first, second] if second else [first], drive, console, go_on)
    finally:
        ray_session.leave(session)


def run_sweeps(sweeps: Sequence[Prepared], drive: Drive, console: Console, go_on: str) -> int:
    """Drive the sweeps one after the other, until all have ended or a signal comes; with two, print them side by side.

    Returns:
        The worst of their exit codes.
    """
    ended: list[Ended] = []
    interrupt = Interrupt()
    with ExitStack() as held:
        for prepared in sweeps:
            held.enter_context(sole_driver(prepared.plan.root))
        held.enter_context(interrupt.watching())
        for prepared in sweeps:
            if interrupt.signal is None:
                if len(sweeps) > 1:
                    console.print(f"sweep {prepared.plan.sweep} begins", highlight=False, markup=False)
                ended.append(drive(prepared, interrupt, go_on))
    if len(ended) < len(sweeps) and all(one.complete for one in ended):
        console.print(f"go on with: {go_on}", highlight=False, markup=False)
    if len(ended) == 2:
        console.print(beside_table(ended[0].result, ended[1].result))
    codes = [one.code for one in ended]
    return worst_code(codes if interrupt.signal is None else [*codes, EXIT_SIGNALLED + interrupt.signal])


class _Drive:
    """One sweep on a joined cluster, from the first job to the table."""

    def __init__(self, prepared: Prepared, session: ray_session.Session, console: Console, go_on: str, about: About) -> None:
        self.prepared, self.plan, self.console, self.go_on, self.about = prepared, prepared.plan, console, go_on, about
        self.jobs = RayJobs(session.dashboard)
        self.displays: list[Display] = [Gauges(self.plan.sweep), terminal_display(console)]
        self.saved = 0

    def run(self, interrupt: Interrupt) -> Ended:
        """The whole sweep, while ``interrupt`` watches for signals."""
        seats = resume_seats(self.plan, self.jobs) if self.prepared.resuming else None
        cfg = self.plan.template.recipe.cluster
        loop = SweepLoop(
            self.plan,
            self.jobs,
            clock=time.time,
            on_tick=self._on_tick,
            seats=seats,
            slots=lambda: seed_slots(cfg, self.jobs.nodes()),
        )
        try:
            loop.run(interrupt.sleep, cancelled=lambda: interrupt.signal is not None)
        finally:
            if not loop.done:
                loop.cancel()
            for display in self.displays:
                display.close()
        result = self._save(loop.seats)
        write_plots(self.plan.root, result, read_histories(self.plan.root, result))
        self._report(result, loop.seats)
        self._publish(result)
        return Ended(code=exit_code(loop.seats), result=result, complete=loop_complete(loop.seats))

    def _on_tick(self, seats: Sequence[Seat]) -> None:
        views = [view(self.plan, seat, time.time()) for seat in seats]
        for display in self.displays:
            display.show(views)
        closed = sum(1 for seat in seats if seat.state.terminal)
        if closed != self.saved:
            try:
                self._save(seats)
            except StorageError as error:  # it is written again with the next seed and at the end
                _log.warning("table_refused error=%s", error)
            self.saved = closed

    def _save(self, seats: Sequence[Seat]) -> SweepResult:
        """sweep.json and results.csv as far as the sweep is known."""
        results = [seat.outcome() for seat in seats]
        plan = self.plan
        result = summarise(plan.sweep, plan.template.recipe.profile, self.prepared.fingerprint, results)
        write_sweep(plan.root, result)
        return result

    def _report(self, result: SweepResult, seats: Sequence[Seat]) -> None:
        self.console.print(sweep_table(result))
        lines = [f"warning: seed {seat.seed}: {seat.warning}" for seat in seats if seat.warning]
        lines += [
            f"log of seed {seat.seed}: {self.plan.attempt(seat.seed, seat.attempt).path(LOG_FILE)}"
            for seat in seats
            if seat.state not in (State.SUCCEEDED, State.CANCELLED)
        ]
        if self.plan.template.note:
            lines.append(f"note: {self.plan.template.note}")
        if not loop_complete(seats):
            lines.append(f"go on with: {self.go_on}")
        for line in [*lines, f"results: {self.plan.root}"]:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _publish(self, result: SweepResult) -> None:
        """The record folder, or why there is none."""
        done = publish_sweep(self.plan.root, result, self.about)
        line = f"record folder: {done.folder}" if done.folder else done.why_not
        if line:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def exit_code(seats: Sequence[Seat]) -> int:
    """0 when every seed SUCCEEDED; 2 when all that did not were stopped by bad input; else 1."""
    open_ = [seat for seat in seats if seat.state is not State.SUCCEEDED]
    if not open_:
        return EXIT_OK
    return EXIT_INPUT if all(seat.state is State.FAILED and seat.bad_input for seat in open_) else EXIT_FAILED


def worst_code(codes: Sequence[int]) -> int:
    """The worst of several exit codes: a signal, then a failed run, then bad input, then none."""
    return max(codes, key=lambda code: (code >= EXIT_SIGNALLED, code == EXIT_FAILED, code), default=EXIT_OK)


def loop_complete(seats: Sequence[Seat]) -> bool:
    """Whether there is nothing that a resumed sweep would run again."""
    return all(seat.state in (State.SUCCEEDED, State.INVALID) for seat in seats)
