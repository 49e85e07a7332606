"""A job system over files, for tests of the service: it survives a kill of the service, is shared by processes, and has faults.

`StubJobs` is both the Jobs API and the cluster behind it. What a job really does (`alive`) is kept apart from what the
system says about it (`state`, `known`), so that a test can ask afterwards whether an end was true. The faults are knobs in
a file, so that a test turns those of a server in another process. There are tests of the same promises on real Ray beside
those that use it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.job_client import JobInfo, JobRefused, JobRequest, JobState, JobsUnreachable, JobUnreadable
from cluster.outcome import cancelled, write_failure
from cluster.resources import Node
from recur.errors import RecurError
from recur.record.attempt import AttemptDir
from recur.record.result import Phase, State
from tests.api import fake_attempt

STAGES = (Phase.SETUP, Phase.TRAIN, Phase.CALIBRATE, Phase.QUANTIZE, Phase.FIT, Phase.EVALUATE, Phase.VERIFY)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Faults.

    Attributes:
        away: every call finds nobody.
        locked: every call is refused for its credentials.
        delay_s: every call takes so long.
        refusals: so many submissions are refused.
        drop_replies: so many submissions are accepted, and then no reply arrives.
        errors: so many questions about a job are answered with HTTP 500.
        deaf: stops are answered with yes and not heard, also by running jobs.
        nodes: of the cluster: (name, CPUs, GPUs).
    """

    away: bool = False
    locked: bool = False
    delay_s: float = 0.0
    refusals: int = 0
    drop_replies: int = 0
    errors: int = 0
    deaf: bool = False
    nodes: tuple[tuple[str, float, float], ...] = (("n1", 64.0, 8.0),)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job: what is said of it, and what is true."""

    job_id: str
    spec: str
    state: JobState = JobState.PENDING
    known: bool = True
    seen: bool = True
    alive: bool = True
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    stage: int = -1


class StubJobs:
    """The job system whose files lie in ``folder``.

    Args:
        folder: made where it is missing; another object on the same folder is the same system.
        clock: stamps of the heartbeats.
        boundary: called with "post_sent" when a submission has been accepted and not answered yet.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.time, boundary: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder, self._clock, self._boundary = folder, clock, boundary
        (folder / "jobs").mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return "http://stub:8265"

    @property
    def knobs(self) -> Knobs:
        """The faults as they are now."""
        path = self.folder / "knobs.json"
        if not path.exists():
            return Knobs()
        told = json.loads(path.read_text())
        return Knobs(**told | {"nodes": tuple(tuple(node) for node in told["nodes"])})

    def turn(self, **changes: Any) -> None:
        """Turn knobs."""
        with self._locked():
            self._turn(**changes)

    def submit(self, request: JobRequest) -> None:
        """Accept a job once; see `Knobs` for what else may happen."""
        self._reach()
        with self._locked():
            if self._spend("refusals"):
                raise JobRefused("no available agent")
            first = self.job(request.job_id)
            if first is None or not first.known:
                self._put(Job(job_id=request.job_id, spec=shlex.split(request.entrypoint)[-1], metadata=dict(request.metadata)))
                self._note("accepted", request.job_id)
            dropped = self._spend("drop_replies")
        self._boundary("post_sent")
        if dropped:
            raise JobsUnreachable("the reply was lost")

    def info(self, job_id: str) -> JobInfo | None:
        """What the system says."""
        self._reach()
        with self._locked():
            if self._spend("errors"):
                raise JobUnreadable("Request failed with status code 500")
        found = self.job(job_id)
        if found is None or not found.known:
            return None
        return JobInfo(job_id=job_id, state=found.state, message=found.message, seen=found.seen)

    def stop(self, job_id: str) -> None:
        """A running job hears it, one that has not started does not (as in Ray)."""
        self._reach()
        with self._locked():
            self._note("stops", job_id)
            found = self.job(job_id)
            if found and found.known and found.state is JobState.RUNNING and not self.knobs.deaf:
                self._put(replace(found, state=JobState.STOPPED, alive=False))

    def logs(self, job_id: str) -> str:
        """One line."""
        self._reach()
        return f"log of {job_id}\n"

    def nodes(self) -> list[Node]:
        """As the knob says."""
        self._reach()
        return [Node(name=name, cpus=cpus, gpus=gpus) for name, cpus, gpus in self.knobs.nodes]

    # What a test does and asks.

    def job(self, job_id: str) -> Job | None:
        """A job as it is."""
        path = self.folder / "jobs" / f"{job_id}.json"
        if not path.exists():
            return None
        return Job(**(told := json.loads(path.read_text())) | {"state": JobState(told["state"])})

    def jobs(self) -> list[Job]:
        """All jobs, by id."""
        found = [self.job(path.stem) for path in sorted((self.folder / "jobs").glob("*.json"))]
        return [job for job in found if job is not None]

    def accepted(self, job_id: str | None = None) -> list[str]:
        """Ids of accepted submissions, in their order; of one id, as often as it was accepted."""
        return self._notes("accepted", job_id)

    def stops(self, job_id: str | None = None) -> list[str]:
        """Ids of stop calls."""
        return self._notes("stops", job_id)

    def start(self, job_id: str) -> Job:
        """A pending job's process begins; as a seed job does, it ends at once where its attempt is cancelled."""
        with self._locked():
            job = self._known(job_id)
            if not job.alive or job.stage >= 0:
                return job
            if cancelled(self.attempt(job)):
                return self._put(replace(job, state=JobState.SUCCEEDED, alive=False))
            state = JobState.RUNNING if job.state is JobState.PENDING else job.state
            return self._put(replace(job, state=state, stage=0))

    def beat(self, job_id: str) -> None:
        """The job's process shows life, if it lives."""
        job = self._known(job_id)
        if job.alive and job.stage >= 0:
            phase = STAGES[min(job.stage, len(STAGES) - 1)]
            fake_attempt.beat(self.attempt(job), phase, self._clock(), step=job.stage, steps=6, loss=5.0, flops_per_s=1e9)

    def advance(self, job_id: str) -> None:
        """The job reaches its next phase; training and calibration leave their records."""
        with self._locked():
            job = self._known(job_id)
            if job.alive and 0 <= job.stage < len(STAGES) - 1:
                self._put(replace(job, stage=job.stage + 1))
                if STAGES[job.stage + 1] is Phase.QUANTIZE and not self.attempt(job).finished(Phase.CALIBRATE):
                    fake_attempt.train(self.attempt(job))
        self.beat(job_id)

    def finish(self, job_id: str, state: State = State.SUCCEEDED, *, exits: bool = True) -> None:
        """The job writes its result and, unless it hangs, ends."""
        with self._locked():
            job = self._known(job_id)
            if not job.alive or job.stage < 0:
                return
            fake_attempt.finish(self.attempt(job), state)
        if exits:
            self.exit(job_id)

    def exit(self, job_id: str) -> None:
        """A job that hung behind its result ends."""
        with self._locked():
            job = self._known(job_id)
            told = job.state if job.state.terminal else JobState.SUCCEEDED
            self._put(replace(job, state=told, alive=False))

    def fail(self, job_id: str, *, error: RecurError | None = None, message: str = "exit code 1") -> None:
        """The job's process dies, with its line or without."""
        with self._locked():
            job = self._known(job_id)
            if job.alive:
                if error is not None and job.stage >= 0:
                    write_failure(self.attempt(job), error)
                self._put(replace(job, state=JobState.FAILED, alive=False, message=message))

    def lie(self, job_id: str, state: JobState = JobState.FAILED) -> None:
        """The system says that the job has ended, which nobody saw and which is not so."""
        with self._locked():
            self._put(replace(self._known(job_id), state=state, seen=False, message="Job supervisor actor died"))

    def forget(self, job_id: str, *, ends: bool = False) -> None:
        """The system loses the job's history; its process ends with it or goes on."""
        with self._locked():
            job = self._known(job_id)
            self._put(replace(job, known=False, alive=job.alive and not ends))

    def play(self, job_id: str, state: State = State.SUCCEEDED) -> None:
        """A whole run: start, every phase, result, end."""
        job = self.start(job_id)
        if job.alive:
            for _ in STAGES[1:]:
                self.advance(job_id)
            self.finish(job_id, state)

    def attempt(self, job: Job) -> AttemptDir:
        """The folder of the attempt that a job runs."""
        return replace(fake_attempt.attempt_of(Path(job.spec)), clock=self._clock)

    def _known(self, job_id: str) -> Job:
        found = self.job(job_id)
        assert found is not None, job_id
        return found

    def _put(self, job: Job) -> Job:
        path = self.folder / "jobs" / f"{job.job_id}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(job)))
        temporary.replace(path)
        return job

    def _reach(self) -> None:
        knobs = self.knobs
        if knobs.delay_s:
            time.sleep(knobs.delay_s)
        if knobs.away:
            raise JobsUnreachable("the job system is away")
        if knobs.locked:
            raise JobsUnreachable("401: authentication required")

    def _spend(self, name: str) -> bool:
        left = getattr(self.knobs, name)
        if left:
            self._turn(**{name: left - 1})
        return bool(left)

    def _turn(self, **changes: Any) -> None:
        path = self.folder / "knobs.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(replace(self.knobs, **changes))))
        temporary.replace(path)

    def _note(self, kind: str, job_id: str) -> None:
        with (self.folder / kind).open("a") as f:
            f.write(f"{job_id}\n")

    def _notes(self, kind: str, job_id: str | None) -> list[str]:
        path = self.folder / kind
        found = path.read_text().split() if path.exists() else []
        return [one for one in found if job_id in (None, one)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
