"""The sweep loop on a fake job system and a fake clock, with real folders."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from cluster.job_client import JobState, JobsUnreachable
from cluster.memory_jobs import InMemoryJobs
from cluster.sweep import Seat, SweepLoop, resume_seats
from recur.errors import PlacementError, StorageError
from recur.record.result import State
from tests.cluster.kit import leave_result, sweep_plan


class Bench:
    """A loop with its job system, its clock, and short words for what a test does."""

    def __init__(self, out: Path, *seeds: int, slots: int = 1, seats: list[Seat] | None = None) -> None:
        self.plan, self.jobs, self.now = sweep_plan(out, *seeds, slots=slots), InMemoryJobs(), 1000.0
        self.nodes = slots
        """Nodes that hold a seed."""
        self.loop = SweepLoop(self.plan, self.jobs, clock=lambda: self.now, seats=seats, slots=self.count)

    def count(self) -> int:
        if self.jobs.unreachable:
            raise JobsUnreachable("away")
        if self.nodes == 0:
            raise PlacementError("cluster.workers=8", "must fit on one node", "join a larger cluster")
        return self.nodes

    def tick(self, seconds: float = 1.0) -> list[State]:
        self.now += seconds
        self.loop.tick()
        return [seat.state for seat in self.loop.seats]

    def set(self, seed: int, state: JobState, attempt: int = 1, message: str = "") -> None:
        self.jobs.set(self.plan.job_id(seed, attempt), state, message)

    def finish(self, seed: int, attempt: int = 1) -> None:
        leave_result(self.plan.attempt(seed, attempt))
        self.set(seed, JobState.SUCCEEDED, attempt)

    def resume(self) -> None:
        self.loop = SweepLoop(self.plan, self.jobs, clock=lambda: self.now, seats=resume_seats(self.plan, self.jobs))


def refused(*_: object, **__: object) -> NoReturn:
    raise StorageError("the disk", "is full", "free space")
