"""N seeds as N jobs: admit when a slot is free, watch, collect. The loop owns no clock, no job system and no science.

Waiting happens here, not in the job system's queue (a Ray job that is RUNNING may well wait for GPUs, and a PENDING one
cannot be stopped). What is known after a crash is what lies on disk: the spec of the sweep, the attempts' folders, and
jobs whose ids are decided before they are submitted. Used by jobs/record.py and meant for the service too.
Promises: SERVICE.md P3-P9.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster.failure import Action, Decision, decide, explained
from cluster.job_client import JobClient, JobInfo, JobRefused, JobsUnreachable
from cluster.launch import place_attempt, save_log, seed_request
from cluster.look import Look, Sight, look
from cluster.outcome import mark_cancelled
from cluster.policy import Verdict, free_slots, judge
from cluster.seats import Seat, SweepPlan, resume_seats
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir, next_attempt, write_seed_result
from recur.record.journal import append_line
from recur.record.result import SeedResult, State
from recur.seedspec import SeedSpec

__all__ = ["Seat", "SweepLoop", "SweepPlan", "resume_seats"]

_log = logging.getLogger(__name__)

EVENTS_FILE = "events.jsonl"


class SweepLoop:
    """The executor: sees, asks `cluster.policy` what that means, acts.

    Args:
        plan: what is to be run.
        jobs: the job system.
        clock: seconds since 1970.
        on_tick: called after every round with all seats (telemetry).
        seats: where to start from; default: every seed queued for its first attempt.
    """

    def __init__(
        self,
        plan: SweepPlan,
        jobs: JobClient,
        *,
        clock: Callable[[], float],
        on_tick: Callable[[Sequence[Seat]], None] = lambda _: None,
        seats: Sequence[Seat] | None = None,
    ) -> None:
        self.plan, self.jobs = plan, jobs
        self.seats = list(seats) if seats is not None else [Seat(seed=seed) for seed in plan.seeds]
        self._clock, self._on_tick = clock, on_tick
        self._cancelling = False

    @property
    def done(self) -> bool:
        """Whether every seed is terminal."""
        return all(seat.state.terminal for seat in self.seats)

    def run(
        self, sleep: Callable[[float], object], *, cancelled: Callable[[], bool] = lambda: False, poll_s: float = 0.5
    ) -> list[SeedResult]:
        """Tick until every seed is terminal; the results in the order of the seeds.

        Args:
            sleep: waits between two rounds; may return early.
            cancelled: asked before every round; the first True cancels the sweep.
            poll_s: given to ``sleep``.
        """
        while True:
            if cancelled() and not self._cancelling:
                self.cancel()
            self.tick()
            if self.done:
                return self.results()
            sleep(poll_s)

    def tick(self) -> None:
        """One round: look at what runs, cancel if asked to, admit what fits."""
        for seat in self.seats:
            if seat.state in (State.SUBMITTED, State.RUNNING, State.CANCELLING):
                self._watch(seat)
        for seat in self.seats:
            if seat.state is State.SUBMITTING:
                self._submit(seat)
        for seat in self.seats:
            if seat.state is State.QUEUED and free_slots(self.plan.slots, [s.state for s in self.seats]):
                self._admit(seat)
        self._on_tick(self.seats)

    def cancel(self) -> None:
        """Queued seeds are cancelled at once, the jobs of the others are told to stop, now and on every tick."""
        self._cancelling = True
        for seat in self.seats:
            if seat.state is State.QUEUED:
                self._to(seat, State.CANCELLED, "cancelled before it started")
            elif not seat.state.terminal:
                mark_cancelled(self._dir(seat))
                self._to(seat, State.CANCELLING)
                self._stop(seat)

    def results(self) -> list[SeedResult]:
        """One result a seed; a seed without numbers has its state and reason."""
        return [seat.outcome() for seat in self.seats]

    def _admit(self, seat: Seat) -> None:
        """Write the attempt's folder and spec, then submit; the id exists before the first call."""
        place_attempt(self._spec(seat), seat.adopt_from)
        self._to(seat, State.SUBMITTING)
        self._submit(seat)

    def _submit(self, seat: Seat) -> None:
        name, request = self._job(seat), seed_request(self._spec(seat), self.plan.runtime_env)
        try:
            self.jobs.submit(request)
        except JobsUnreachable as error:
            _log.warning("submit_unreachable job=%s error=%s", name, error)
        except JobRefused as error:
            self._refused(seat, error)
        else:
            seat.refused_since = None
            self._to(seat, State.SUBMITTED)

    def _refused(self, seat: Seat, error: JobRefused) -> None:
        seat.refused_since = seat.refused_since or self._clock()
        if self._clock() - seat.refused_since >= self.plan.limits.refused_s:
            self._to(seat, State.FAILED, f"its job was not accepted: {_first_line(error)}")

    def _watch(self, seat: Seat) -> None:
        try:
            job = self.jobs.info(self._job(seat))
        except JobsUnreachable as error:
            _log.warning("jobs_unreachable seed=%d error=%s", seat.seed, error)
            return
        try:
            verdict = judge(seat.state, self._look(seat, job).seen, self.plan.limits)
        except ArtifactError as error:
            verdict = Verdict(state=State.FAILED, reason=str(error), stop=True)
        seat.warning = verdict.warning or seat.warning
        if verdict.stop:
            self._stop(seat)
        decision = self._decision(seat, verdict)
        if decision is not None and decision.action is Action.RETRY:
            self._retry(seat, verdict)
        elif verdict.state is not seat.state:
            self._to(seat, verdict.state, explained(verdict.reason, decision))

    def _look(self, seat: Seat, job: JobInfo | None) -> Look:
        found = look(self._dir(seat), job, seat.sight, self._clock())
        seat.result, seat.bad_input = found.result, found.bad_input
        return found

    def _decision(self, seat: Seat, verdict: Verdict) -> Decision | None:
        if verdict.cause is None or self._cancelling:
            return None
        return decide(verdict.cause, seat.had, self.plan.limits.retries)

    def _retry(self, seat: Seat, verdict: Verdict) -> None:
        """An attempt that died is replaced by the next one, which takes over its finished phases."""
        assert verdict.cause is not None, "asked before"
        self._event(seat, verdict.state, verdict.reason)
        save_log(self.jobs, self._job(seat), self._dir(seat))
        seat.had = seat.had.plus(verdict.cause)
        seat.adopt_from, seat.attempt = seat.attempt, next_attempt(self.plan.root, seat.seed)
        seat.sight, seat.result, seat.bad_input = Sight(), None, False
        self._to(seat, State.QUEUED)

    def _stop(self, seat: Seat) -> None:
        try:
            self.jobs.stop(self._job(seat))
        except JobsUnreachable as error:
            _log.warning("stop_unreachable seed=%d error=%s", seat.seed, error)

    def _to(self, seat: Seat, state: State, reason: str | None = None) -> None:
        """Change a seat's state and leave the event; a terminal state also leaves the seed's result and log."""
        seat.state, seat.reason = state, reason
        if state.terminal:
            self._close(seat)
        self._event(seat, seat.state, seat.reason)

    def _close(self, seat: Seat) -> None:
        if seat.state not in (State.SUCCEEDED, State.INVALID):
            seat.result = None
        try:
            write_seed_result(self.plan.root, seat.outcome())
        except ArtifactError as error:
            seat.state, seat.reason, seat.result = State.FAILED, str(error), None
        if self._dir(seat).folder.is_dir():
            save_log(self.jobs, self._job(seat), self._dir(seat))

    def _event(self, seat: Seat, state: State, reason: str | None) -> None:
        fields = {"seed": seat.seed, "attempt": seat.attempt, "state": state.value, "reason": reason}
        append_line(self.plan.root / EVENTS_FILE, "state", fields, at=self._clock())

    def _spec(self, seat: Seat) -> SeedSpec:
        return replace(self.plan.template, seed=seat.seed, attempt=seat.attempt)

    def _dir(self, seat: Seat) -> AttemptDir:
        return self.plan.attempt(seat.seed, seat.attempt)

    def _job(self, seat: Seat) -> str:
        return self.plan.job_id(seat.seed, seat.attempt)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
