"""The small interface to a job system, and its Ray implementation; `cluster.memory_jobs` has the fake that tests use.

Facts about Ray 2.60's Jobs API that shape it (tried on this version): a second submission of one id answers HTTP 500 "already
exists" (so a deterministic id makes submission idempotent); `stop_job` on a PENDING job answers yes and does nothing (so
the caller repeats it until the job is terminal); `delete_job` can resurrect a stopped job as a failed ghost (so there
is no delete here); ids with odd characters leave an unremovable ghost (so ids are checked before the first call).
The environment variables RAY_API_SERVER_ADDRESS and RAY_ADDRESS override the address that a client is given.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from cluster.resources import Node
from cluster.session import pack_quietly, without_addresses
from recur.errors import InputError, RecurError

_JOB_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MOST_NODES = 10_000
_NEVER_RAN = (
    "RUNTIME_ENV_SETUP_FAILURE",
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",
    "JOB_SUPERVISOR_ACTOR_START_FAILURE",
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
    "JOB_ENTRYPOINT_COMMAND_START_ERROR",
)
"""Ray's types of error of a job whose process was never started."""


class JobState(StrEnum):
    """What the job system says about a job; a hint, never the truth (the result file is)."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def terminal(self) -> bool:
        return self in (JobState.STOPPED, JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """One job: its id (decided before the first call), a fixed-template command line, its environment and labels."""

    job_id: str
    entrypoint: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    runtime_env: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """The job system's view of one job.

    Attributes:
        seen: whether the job system saw the job's process end (or never started one). Where it only concludes so, because its
            own supervisor is gone say, the process may well live on (seen with Ray while its head fails over).
    """

    job_id: str
    state: JobState
    message: str = ""
    seen: bool = True


class JobsUnreachable(RecurError):
    """The job system did not answer; it says nothing about the jobs."""


class JobUnreadable(JobsUnreachable):
    """The job system answers, but with an error where it was asked about one job; it says nothing about that job."""


class JobRefused(RecurError):
    """The job system answered a submission with an error; it may be a passing one."""


class JobTaken(JobRefused):
    """Another job has this id: that of a sweep of the same name in another folder."""

    def __init__(self, job_id: str, entrypoint: str) -> None:
        super().__init__(f"the cluster has a job {job_id} of another folder already ({entrypoint}): give another --sweep")


class JobClient(Protocol):
    """What a sweep needs of a job system. Every method may raise JobsUnreachable."""

    def submit(self, request: JobRequest) -> None:
        """Start the job; the same job counts as success. Raises JobRefused, JobTaken."""

    def info(self, job_id: str) -> JobInfo | None:
        """The job, or None when the job system does not know the id."""

    def stop(self, job_id: str) -> None:
        """Ask the job to end. May have to be repeated: a job that has not started yet cannot hear it."""

    def logs(self, job_id: str) -> str:
        """All the job has printed so far ('' when there is nothing to read)."""


class Cluster(Protocol):
    """What the service needs to know of the machines behind a job system."""

    @property
    def address(self) -> str:
        """``http://host:port`` of the dashboard."""

    def nodes(self) -> list[Node]:
        """The nodes that are alive. Raises JobsUnreachable."""


def job_id(sweep: str, seed: int, attempt: int) -> str:
    """``<sweep>-s<seed>-a<attempt>``, the name of the Ray job and of the trainer.

    Raises:
        InputError: the id would not be ``[a-z0-9][a-z0-9-]{0,62}``.
    """
    name = f"{sweep}-s{seed}-a{attempt}"
    if not _JOB_ID.fullmatch(name):
        raise InputError(
            f"job id {name!r}",
            "must be 1 to 63 of a-z, 0-9 and '-', starting with none of '-'",
            "use a shorter --sweep",
        )
    return name


def seed_entrypoint(spec_path: Path, *, python: str = sys.executable) -> str:
    """The command line of a seed job: a fixed template around one absolute path."""
    return shlex.join([python, "jobs/seed.py", "--spec", str(spec_path)])


def same_job(entrypoint: str, other: str) -> bool:
    """Whether two command lines of `seed_entrypoint` run the same attempt, by whatever interpreter."""
    return shlex.split(entrypoint)[-1:] == shlex.split(other)[-1:]


class RayJobs:
    """The Ray Jobs API, and the dashboard's list of nodes. Ray is imported and reached by the first call, not before.

    Args:
        address: the dashboard's address, ``http://host:8265``.
        timeout_s: how long the dashboard may take to list its nodes.
    """

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self.address, self._timeout_s = address, timeout_s
        self._connected: Any = None

    def submit(self, request: JobRequest) -> None:
        try:
            self._call(
                "submit_job",
                entrypoint=request.entrypoint,
                submission_id=request.job_id,
                metadata=dict(request.metadata),
                runtime_env=dict(request.runtime_env),
            )
        except _Refused as error:
            found = self._details(request.job_id)
            if found is None and "already exists" not in str(error):
                raise JobRefused(str(error)) from error
            if found is not None and not same_job(found.entrypoint, request.entrypoint):
                raise JobTaken(request.job_id, found.entrypoint) from error

    def info(self, job_id: str) -> JobInfo | None:
        found = self._details(job_id)
        if found is None:
            return None
        state = JobState(str(found.status.value))
        seen = state is not JobState.FAILED or found.driver_exit_code is not None or found.error_type in _NEVER_RAN
        return JobInfo(job_id=job_id, state=state, message=found.message or "", seen=seen)

    def _details(self, job_id: str) -> Any:
        """Ray's own record of a job; None when it does not know the id."""
        try:
            return self._call("get_job_info", job_id)
        except _Refused as error:
            if error.status == 404:
                return None
            raise JobUnreadable(str(error)) from error

    def stop(self, job_id: str) -> None:
        try:
            self._call("stop_job", job_id)
        except _Refused as error:
            if error.status != 404:
                raise JobUnreadable(str(error)) from error

    def logs(self, job_id: str) -> str:
        try:
            return str(self._call("get_job_logs", job_id))
        except _Refused as error:
            if error.status == 404:
                return ""
            raise JobUnreadable(str(error)) from error

    def nodes(self) -> list[Node]:
        """The alive nodes, from the dashboard's state API; this process joins no cluster.

        Raises:
            JobsUnreachable: the dashboard does not answer.
        """
        import requests
        from ray.exceptions import AuthenticationError
        from ray.util.state import list_nodes
        from ray.util.state.exception import RayStateApiException

        try:
            with without_addresses():
                found = list_nodes(address=self.address, limit=_MOST_NODES, timeout=int(self._timeout_s))
        except (requests.RequestException, ConnectionError, AuthenticationError, RayStateApiException) as error:
            raise JobsUnreachable(f"Ray's dashboard at {self.address} does not answer: {error}") from error
        return [
            Node(name=n.node_name, cpus=float(n.resources_total.get("CPU", 0)), gpus=float(n.resources_total.get("GPU", 0)))
            for n in found
            if n.state == "ALIVE"
        ]

    def _call(self, method: str, *args: object, **kwargs: object) -> Any:
        """One SDK call; its RuntimeErrors become `_Refused`, everything about the connection `JobsUnreachable`."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            return getattr(self._client(), method)(*args, **kwargs)
        except (requests.RequestException, ConnectionError, AuthenticationError) as error:
            raise JobsUnreachable(f"Ray's Jobs API at {self.address} does not answer: {error}") from error
        except RuntimeError as error:
            raise _Refused(str(error)) from error

    def _client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        if self._connected is None:
            pack_quietly()
            try:
                with without_addresses():
                    self._connected = JobSubmissionClient(self.address)
            except RuntimeError as error:
                raise ConnectionError(str(error)) from error
        return self._connected


class _Refused(Exception):
    """The Jobs API answered with an HTTP error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = re.search(r"status code (\d{3})", text)
        self.status = int(found[1]) if found else 0
