"""A deadline for calls that have none of their own: past it the job system counts as away, whatever becomes of the call.

Each call runs in a thread of its own (a daemon: a call that never returns must not hold up the end of the process). Only so
many may be open at once; where all of them hang, the next call is answered at once instead of waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from cluster.job_client import Cluster, JobClient, JobInfo, JobRequest, JobsUnreachable
from cluster.resources import Node

T = TypeVar("T")


class Deadline:
    """Runs calls with a deadline.

    Args:
        timeout_s: how long a call may take.
        most: calls that may be open at once, those past their deadline included.
        forget_s: how long a call that never returns counts as open: its place would be lost for ever.
        clock: seconds.
    """

    def __init__(
        self, timeout_s: float, *, most: int = 8, forget_s: float = 600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout_s, self._most, self._forget_s, self._clock = timeout_s, most, forget_s, clock
        self._open: dict[object, float] = {}
        self._lock = threading.Lock()

    def call(self, what: str, fn: Callable[[], T]) -> T:
        """``fn()``, or its exception.

        Raises:
            JobsUnreachable: no answer in time, or too many calls without one.
        """
        place = self._take(what)
        answer: Future[T] = Future()
        threading.Thread(target=self._run, args=(fn, answer, place), name=f"deadline-{what}", daemon=True).start()
        if not wait([answer], self.timeout_s).done:
            raise JobsUnreachable(f"{what}: the job system gave no answer in {self.timeout_s:g} s")
        return answer.result()

    def _take(self, what: str) -> object:
        place, now = object(), self._clock()
        with self._lock:
            self._open = {one: began for one, began in self._open.items() if now - began < self._forget_s}
            if len(self._open) >= self._most:
                raise JobsUnreachable(f"{what}: {self._most} earlier calls to the job system have no answer yet")
            self._open[place] = now
        return place

    def _run(self, fn: Callable[[], T], answer: Future[T], place: object) -> None:
        try:
            answer.set_result(fn())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it again
            answer.set_exception(error)
        finally:
            with self._lock:
                self._open.pop(place, None)


class TimedJobs:
    """A job system and its cluster behind one deadline."""

    def __init__(self, jobs: JobClient, cluster: Cluster, deadline: Deadline) -> None:
        self._jobs, self._cluster, self._deadline = jobs, cluster, deadline

    @property
    def address(self) -> str:
        """As the cluster gives it."""
        return self._cluster.address

    def submit(self, request: JobRequest) -> None:
        """`JobClient.submit`; past the deadline the submission may still arrive, which its id makes harmless."""
        self._deadline.call("submit", lambda: self._jobs.submit(request))

    def info(self, job_id: str) -> JobInfo | None:
        """`JobClient.info`."""
        return self._deadline.call("info", lambda: self._jobs.info(job_id))

    def stop(self, job_id: str) -> None:
        """`JobClient.stop`."""
        self._deadline.call("stop", lambda: self._jobs.stop(job_id))

    def logs(self, job_id: str) -> str:
        """`JobClient.logs`."""
        return self._deadline.call("logs", lambda: self._jobs.logs(job_id))

    def nodes(self) -> list[Node]:
        """`Cluster.nodes`."""
        return self._deadline.call("nodes", self._cluster.nodes)
