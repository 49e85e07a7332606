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
from cluster.job_client import JobClient, JobInfo, JobRefused, JobsUnreachable, JobTaken
from cluster.launch import make_sure, place_attempt, save_log, seed_request
from cluster.look import Look, look
from cluster.outcome import cancelled, mark_cancelled
from cluster.policy import WITHOUT_GPU, Verdict, free_slots, judge
from cluster.room import Room
from cluster.seats import Seat, SweepPlan, Trouble, resume_seats
from recur.errors import ArtifactError, StorageError
from recur.record.attempt import AttemptDir, next_attempt, write_seed_result
from recur.record.journal import append_line
from recur.record.result import SeedResult, State
from recur.seedspec import SeedSpec

__all__ = ["Seat", "SweepLoop", "SweepPlan", "resume_seats"]

_log = logging.getLogger(__name__)

EVENTS_FILE = "events.jsonl"


class SweepLoop:
    """The executor: sees, asks `cluster.policy` what that means, acts.

    A disk that refuses holds up the seed that it concerns, and no other: the step is made again on the next tick. Only when that
    has gone on for ``limits.disk_s`` and nothing else runs is it raised.

    Args:
        plan: what is to be run.
        jobs: the job system.
        clock: seconds since 1970.
        on_tick: called after every round with all seats (telemetry).
        seats: where to start from; default: every seed queued for its first attempt.
        slots: seeds at a time, counted anew while a seed waits, for nodes come and go; raises PlacementError where there is room
            for none. Default: what the plan says.
    """

    def __init__(
        self,
        plan: SweepPlan,
        jobs: JobClient,
        *,
        clock: Callable[[], float],
        on_tick: Callable[[Sequence[Seat]], None] = lambda _: None,
        seats: Sequence[Seat] | None = None,
        slots: Callable[[], int] | None = None,
    ) -> None:
        self.plan, self.jobs = plan, jobs
        self.seats = list(seats) if seats is not None else [Seat(seed=seed) for seed in plan.seeds]
        self._clock, self._on_tick = clock, on_tick
        self._room = Room(slots or (lambda: plan.slots), clock)
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

        Raises:
            StorageError: the disk refuses, and nothing else runs.
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
                self._try(seat, self._watch)
        for seat in self.seats:
            if seat.state is State.SUBMITTING:
                self._try(seat, self._submit)
        self._admit_what_fits()
        self._on_tick(self.seats)
        self._give_up_on_the_disk()

    def cancel(self) -> None:
        """The jobs of what runs are told to stop, now and on every tick; queued seeds are cancelled at once."""
        self._cancelling = True
        open_ = [seat for seat in self.seats if not seat.state.terminal]
        for seat in open_:
            if seat.state is not State.QUEUED:
                seat.state, seat.reason = State.CANCELLING, None
                self._stop(seat)
        for seat in open_:
            self._try(seat, self._close_queued if seat.state is State.QUEUED else self._mark)

    def results(self) -> list[SeedResult]:
        """One result a seed; a seed without numbers has its state and reason."""
        return [seat.outcome() for seat in self.seats]

    def _try(self, seat: Seat, step: Callable[[Seat], None]) -> None:
        """One seat's step; a disk that refuses is told once, and the step made again on the next tick."""
        try:
            step(seat)
        except (StorageError, OSError) as error:
            if seat.trouble is None:
                _log.warning("disk_refused seed=%d error=%s", seat.seed, error)
            since = seat.trouble.since if seat.trouble else self._clock()
            seat.trouble = Trouble(since=since, error=error)
        else:
            seat.trouble = None

    def _give_up_on_the_disk(self) -> None:
        open_ = [seat for seat in self.seats if not seat.state.terminal]
        if any(seat.trouble is None for seat in open_ if seat.state is not State.QUEUED):
            return
        for seat in open_:
            if seat.trouble and self._clock() - seat.trouble.since >= self.plan.limits.disk_s:
                raise seat.trouble.error

    def _admit_what_fits(self) -> None:
        waiting = [seat for seat in self.seats if seat.state is State.QUEUED]
        slots = self._room.slots() if waiting and not self._cancelling else 0
        for seat in waiting:
            if self._cancelling:
                self._try(seat, self._close_queued)
            elif free_slots(slots, *self._held):
                self._try(seat, self._admit)
            elif self._room.lasted_s() < self.plan.limits.room_s:
                seat.reason, seat.trouble = self._room.why, None
            else:
                seat.bad_input = True
                self._try(seat, self._close_without_room)

    @property
    def _held(self) -> tuple[int, int]:
        """Seeds that were admitted and have not ended, and those of them that make room for the next."""
        admitted = [seat for seat in self.seats if seat.state is not State.QUEUED and not seat.state.terminal]
        overlap = self.plan.template.recipe.cluster.overlap
        without = [seat for seat in admitted if overlap and seat.state is State.RUNNING and seat.phase in WITHOUT_GPU]
        return len(admitted), len(without)

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
        if isinstance(error, JobTaken) or self._clock() - seat.refused_since >= self.plan.limits.refused_s:
            self._to(seat, State.FAILED, f"its job was not accepted: {_first_line(error)}")

    def _watch(self, seat: Seat) -> None:
        """Look at a seat, stop its job where that is due, and leave the mark that a full disk has refused before."""
        unmarked = seat.state is State.CANCELLING and not cancelled(self._dir(seat))
        self._judge(seat)
        if unmarked:
            self._mark(seat)

    def _judge(self, seat: Seat) -> None:
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
        fresh = found.life is not None and found.life.age_s <= self.plan.limits.stale_s
        seat.phase = found.life.phase if found.life and fresh else None
        make_sure(self.jobs, self._job(seat), found.seen, seat.sight, self.plan.limits)
        return found

    def _decision(self, seat: Seat, verdict: Verdict) -> Decision | None:
        if verdict.cause is None or self._cancelling:
            return None
        return decide(verdict.cause, seat.had, self.plan.limits.retries)

    def _retry(self, seat: Seat, verdict: Verdict) -> None:
        """An attempt that died is replaced by the next one, which takes over its finished phases."""
        assert verdict.cause is not None, "asked before"
        save_log(self.jobs, self._job(seat), self._dir(seat))
        self._event(seat, verdict.state, verdict.reason)
        seat.begin_again(next_attempt(self.plan.root, seat.seed), verdict.cause)
        self._room.count_again()
        self._event(seat, seat.state, seat.reason)

    def _stop(self, seat: Seat) -> None:
        try:
            self.jobs.stop(self._job(seat))
        except JobsUnreachable as error:
            _log.warning("stop_unreachable seed=%d error=%s", seat.seed, error)

    def _mark(self, seat: Seat) -> None:
        mark_cancelled(self._dir(seat))
        if not seat.state.terminal:
            self._event(seat, State.CANCELLING, None)

    def _close_queued(self, seat: Seat) -> None:
        self._to(seat, State.CANCELLED, "cancelled before it started")

    def _close_without_room(self, seat: Seat) -> None:
        self._to(seat, State.FAILED, self._room.why)

    def _to(self, seat: Seat, state: State, reason: str | None = None) -> None:
        """Change a seat's state, after its event is left; a terminal state also leaves the seed's result and log first."""
        if not state.terminal:
            self._event(seat, state, reason)
            seat.state, seat.reason = state, reason
            return
        result = seat.result if state in (State.SUCCEEDED, State.INVALID) else None
        try:
            ends = SeedResult(seed=seat.seed, state=state, attempt=seat.attempt, error=reason)
            write_seed_result(self.plan.root, result or ends)
        except ArtifactError as error:
            state, reason, result = State.FAILED, str(error), None
        if self._dir(seat).folder.is_dir() and seat.state is not State.SUBMITTING:  # what was never accepted has no log
            save_log(self.jobs, self._job(seat), self._dir(seat))
        self._event(seat, state, reason)
        seat.state, seat.reason, seat.result = state, reason, result

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
