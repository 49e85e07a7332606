"""`recur up`: a Ray head and the service as children of this process; both are watched, and end with it.

The head may die: the service goes on without it (degraded), and the head is started again with the same ports and token.
The service may die: it is started again, unless it never answered (a wrong setting, say). Promises: SERVICE.md P5, P7; nothing
of the old head is left when the new one starts, so a seed of it cannot go on beside its next attempt.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cluster.head import Head, HeadFailed, answers
from cluster.processes import adopt_orphans, end_with_parent
from cluster.signals import Flag

EXIT_STOPPED = 0
SERVICE_READY_S = 60.0
SERVICE_END_S = 6.0
"""The service closes in less than 5 s; then it is killed."""
POLL_S = 0.5
LONGEST_PAUSE_S = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ServiceCommand:
    """How the service is started and where it answers."""

    command: Sequence[str]
    environment: Mapping[str, str]
    root: Path
    url: str


class Stop:
    """Ctrl-C and SIGTERM as a flag; a second one changes nothing, the end has its own deadline."""

    def __init__(self) -> None:
        self._flag = Flag()

    def set(self) -> None:
        """Ask for the end."""
        self._flag.set()

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._flag.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep; True, perhaps early, when the end was asked for."""
        return self._flag.wait(seconds)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the signals over inside."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.set()


class Supervisor:
    """Head and service, side by side.

    Args:
        head: None when the service uses a Ray that runs already.
        service: the service.
        say: takes lines for the user.
    """

    def __init__(self, head: Head | None, service: ServiceCommand, say: Say) -> None:
        self.head, self.service, self.say = head, service, say
        self._process: subprocess.Popen[bytes] | None = None
        self._head_pause_s = self._service_pause_s = 1.0

    def run(self, stop: Stop, on_ready: Callable[[], None]) -> int:
        """Start both, watch them until the end is asked for, end both.

        Args:
            stop: asks for the end.
            on_ready: called once, when both answer.

        Returns:
            The exit code: 0 after a wanted end, else that of a service that never came up.

        Raises:
            HeadFailed: the head never came up.
        """
        adopt_orphans()
        try:
            if self.head is not None and not self.head.start(stop.wait):
                return EXIT_STOPPED
            code = self._start_service(stop)
            if code is None and not stop.asked:
                on_ready()
                self._watch(stop)
            return code or EXIT_STOPPED
        finally:
            self._end()

    def _watch(self, stop: Stop) -> None:
        while not stop.wait(POLL_S):
            if self.head is not None and not self.head.alive:
                self._restart_head(self.head, stop)
            if self._process is None or self._process.poll() is not None:
                self._restart_service(stop)

    def _restart_head(self, head: Head, stop: Stop) -> None:
        self.say("the Ray head has ended; the service goes on without it and the head is started again")
        head.end(without=self._process.pid if self._process else None)
        try:
            if head.start(stop.wait):
                self.say(f"the Ray head is back: {head.plan.dashboard}")
                self._head_pause_s = 1.0
        except HeadFailed as error:
            self.say(f"{error}; next try in {self._head_pause_s:.0f} s")
            head.end(without=self._process.pid if self._process else None)
            stop.wait(self._head_pause_s)
            self._head_pause_s = min(2 * self._head_pause_s, LONGEST_PAUSE_S)

    def _restart_service(self, stop: Stop) -> None:
        code = self._process.returncode if self._process else None
        self.say(f"the service has ended with code {code} and is started again")
        if self._start_service(stop) is None:
            self._service_pause_s = 1.0
            return
        self.say(f"the service did not come up; next try in {self._service_pause_s:.0f} s")
        stop.wait(self._service_pause_s)
        self._service_pause_s = min(2 * self._service_pause_s, LONGEST_PAUSE_S)

    def _start_service(self, stop: Stop) -> int | None:
        """Start it and wait until it answers.

        Returns:
            None when it does (or when the end was asked for), else its exit code, 1 for one that was killed because it did
            not answer within `SERVICE_READY_S`.
        """
        service = self.service
        self._process = subprocess.Popen(
            list(service.command),
            env=dict(service.environment),
            cwd=service.root,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        end = time.monotonic() + SERVICE_READY_S
        while not answers(f"{service.url}/healthz"):
            if (code := self._process.poll()) is not None:
                return code or 1
            if time.monotonic() > end:
                self.say(f"the service runs but does not answer at {service.url}/healthz")
                self._end_service()
                return 1
            if stop.wait(0.2):
                return None
        return None

    def _end(self) -> None:
        """The service first, because it still speaks with the head; then the head with its jobs."""
        self._end_service()
        if self.head is not None:
            self.head.end()
            self.head.forget()

    def _end_service(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SERVICE_END_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(2)
