"""A sweep as data: the plan of N seeds, where each seed stands, and where an interrupted sweep stands."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from cluster.failure import Cause, Spent
from cluster.job_client import JobClient, job_id
from cluster.look import Sight, lives
from cluster.outcome import cancelled, read_failure, read_result
from cluster.policy import Limits
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir, next_attempt, read_seed_result
from recur.record.result import Phase, SeedResult, State
from recur.seedspec import SPEC_FILE, SeedSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What is to be run.

    Attributes:
        template: a seed's spec; ``seed`` and ``attempt`` are replaced for each job.
        seeds: in the order of admission.
        slots: seeds at a time.
        runtime_env: of every job.
        limits: patience.
    """

    template: SeedSpec
    seeds: tuple[int, ...]
    slots: int
    runtime_env: dict[str, object]
    limits: Limits = field(default_factory=Limits)

    @property
    def sweep(self) -> str:
        """Name of the sweep."""
        return self.template.sweep

    @property
    def root(self) -> Path:
        """Folder of the sweep."""
        return self.template.sweep_root

    def job_id(self, seed: int, attempt: int) -> str:
        """Id of the job of an attempt, decided before it is submitted."""
        return job_id(self.sweep, seed, attempt)

    def attempt(self, seed: int, attempt: int) -> AttemptDir:
        """Folder of an attempt."""
        return AttemptDir(self.root, seed, attempt)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A disk that refuses what concerns one seed: since when, and what it said last."""

    since: float
    error: Exception


@dataclass(kw_only=True)
class Seat:
    """One seed of the sweep and where its counting attempt stands."""

    seed: int
    attempt: int = 1
    adopt_from: int | None = None
    state: State = State.QUEUED
    reason: str | None = None
    warning: str | None = None
    sight: Sight = field(default_factory=Sight)
    refused_since: float | None = None
    had: Spent = field(default_factory=Spent)
    bad_input: bool = False
    result: SeedResult | None = None
    phase: Phase | None = None
    """What its attempt is doing, by a fresh heartbeat."""
    trouble: Trouble | None = None

    def begin_again(self, attempt: int, cause: Cause) -> None:
        """Queue the seed for attempt number ``attempt``, which takes over what the last one has finished."""
        self.had = self.had.plus(cause)
        self.adopt_from, self.attempt = self.attempt, attempt
        self.sight, self.result, self.bad_input, self.phase = Sight(), None, False, None
        self.state, self.reason = State.QUEUED, None

    def outcome(self) -> SeedResult:
        """The seat's result; without numbers where the attempt has none that counts."""
        return self.result or SeedResult(seed=self.seed, state=self.state, attempt=self.attempt, error=self.reason)


def resume_seats(plan: SweepPlan, jobs: JobClient) -> list[Seat]:
    """Where an interrupted sweep stands, from its folders and the job system.

    Finished seeds are kept, jobs that still run are adopted, an attempt that may still run is watched (and replaced once
    it is LOST), everything else gets a new attempt that takes over the finished phases of the last one.

    Raises:
        JobsUnreachable: the job system does not answer, so nothing can be concluded.
    """
    return [_resumed(plan, jobs, seed) for seed in plan.seeds]


def _resumed(plan: SweepPlan, jobs: JobClient, seed: int) -> Seat:
    last = next_attempt(plan.root, seed) - 1
    if last == 0:
        return Seat(seed=seed)
    attempt = plan.attempt(seed, last)
    if not attempt.path(SPEC_FILE).exists():  # its placing was cut short, so it is done again
        return Seat(seed=seed, attempt=last, adopt_from=last - 1 or None)
    damaged, done = False, None
    try:
        done = read_seed_result(plan.root, seed)
        if done is not None and done.state in (State.SUCCEEDED, State.INVALID):
            return Seat(seed=seed, attempt=done.attempt, state=done.state, reason=done.error, result=done)
    except ArtifactError as error:
        damaged = _told(seed, error)
    job = jobs.info(plan.job_id(seed, last))
    runs = job is not None and not job.state.terminal
    try:
        ended = (done is not None and done.attempt == last) or cancelled(attempt) or read_failure(attempt) is not None
        open_ = (job is None or runs or read_result(attempt) is not None) and not ended
    except ArtifactError as error:
        damaged = _told(seed, error)
    if damaged:  # what is whole is taken over by the next attempt, once nothing of this one runs
        open_ = runs or (job is None and lives(attempt, time.time(), plan.limits.stale_s))
    if open_:
        return Seat(seed=seed, attempt=last, state=State.RUNNING)
    return Seat(seed=seed, attempt=last + 1, adopt_from=last)


def _told(seed: int, error: ArtifactError) -> bool:
    _log.warning("damaged seed=%d error=%s", seed, error)
    return True
