"""A job system in memory, for tests: the interface of `cluster.job_client` with knobs for faults."""

from __future__ import annotations

from cluster.job_client import JobInfo, JobRefused, JobRequest, JobState, JobsUnreachable, JobTaken, same_job


class InMemoryJobs:
    """A job system for tests: jobs start and end when the test says so; faults are knobs.

    Attributes:
        requests: every accepted request by id, in the order of submission.
        stops: ids of the stop calls, in order.
        unreachable: while true every call raises JobsUnreachable.
        refusals: that many submissions are answered with JobRefused.
        drop_replies: that many submissions are accepted and then answered with JobsUnreachable.
        stop_ends_jobs: whether a stop ends a running job at once (a pending one never hears it, as in Ray).
    """

    def __init__(self) -> None:
        self.requests: dict[str, JobRequest] = {}
        self.stops: list[str] = []
        self.unreachable = False
        self.refusals = 0
        self.drop_replies = 0
        self.stop_ends_jobs = True
        self._infos: dict[str, JobInfo] = {}

    def submit(self, request: JobRequest) -> None:
        self._reach()
        if self.refusals:
            self.refusals -= 1
            raise JobRefused("no available agent")
        before = self.requests.get(request.job_id)
        if before is not None and not same_job(before.entrypoint, request.entrypoint):
            raise JobTaken(request.job_id, before.entrypoint)
        if request.job_id not in self._infos:
            self.requests[request.job_id] = request
            self.set(request.job_id, JobState.PENDING)
        if self.drop_replies:
            self.drop_replies -= 1
            raise JobsUnreachable("the reply was lost")

    def info(self, job_id: str) -> JobInfo | None:
        self._reach()
        return self._infos.get(job_id)

    def stop(self, job_id: str) -> None:
        self._reach()
        self.stops.append(job_id)
        found = self._infos.get(job_id)
        if found and found.state is JobState.RUNNING and self.stop_ends_jobs:
            self.set(job_id, JobState.STOPPED)

    def logs(self, job_id: str) -> str:
        self._reach()
        return f"log of {job_id}\n"

    def set(self, job_id: str, state: JobState, message: str = "") -> None:
        """Put a job into a state."""
        self._infos[job_id] = JobInfo(job_id=job_id, state=state, message=message)

    def forget(self, job_id: str) -> None:
        """Lose a job's history, as a replaced head does."""
        self._infos.pop(job_id, None)

    def _reach(self) -> None:
        if self.unreachable:
            raise JobsUnreachable("the job system is away")
