"""A Ray head of our own on this machine's loopback, with a token, on free ports; it ends with everything it has started.

Facts about Ray 2.60 that shape it (tried on this version): ``--node-ip-address=127.0.0.1`` is replaced by the outward
address and every port binds to all interfaces, unless RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 makes it a head of one node, whose
ports then all bind to 127.0.0.1; without a token ``ray start --head`` starts open; the agent's fixed port 52365 lets a second
head on one host refuse every job, so all ports are chosen here; SIGTERM takes more than 20 s; jobs run in the head's folder and
find the packages there, so it is started in the repository root. The token goes by the environment and is inherited by jobs.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cluster.processes import end_with_parent, kill_below
from cluster.session import MIN_CPUS
from recur.errors import InputError, RecurError

PORT_FLAGS = (
    "port",
    "dashboard-port",
    "metrics-export-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "node-manager-port",
    "object-manager-port",
    "ray-client-server-port",
)
READY_S = 90.0
"""A head answers after 5 s on an idle machine and after 20 s on a busy one."""
LOOPBACK = "127.0.0.1"


class HeadFailed(RecurError):
    """The head did not come up."""


@dataclass(frozen=True, kw_only=True)
class Authentication:
    """How the head and its clients know each other; ``token`` is None where that is switched off.

    Attributes:
        variables: environment of every process that may talk to this Ray.
    """

    token: str | None

    @property
    def variables(self) -> dict[str, str]:
        if self.token is None:
            return {"RAY_AUTH_MODE": "disabled"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}


def authentication(environment: Mapping[str, str]) -> Authentication:
    """Off only with RAY_AUTH_MODE=disabled; else RAY_AUTH_TOKEN or a fresh token of 256 bits."""
    if environment.get("RAY_AUTH_MODE") == "disabled":
        return Authentication(token=None)
    return Authentication(token=environment.get("RAY_AUTH_TOKEN") or secrets.token_hex(32))


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """What a head is started with; kept when it is started again.

    Attributes:
        root: the repository, working directory of the head and of its jobs.
        temp: Ray's folder; short, because its sockets lie in it and a socket's path may have 107 bytes.
        ports: one for each of `PORT_FLAGS`.
        authentication: its token.
        environment: of the head, complete.
        cpus: what it offers.
    """

    root: Path
    temp: Path
    ports: Mapping[str, int]
    authentication: Authentication
    environment: Mapping[str, str]
    cpus: int

    @property
    def dashboard(self) -> str:
        """Dashboard and Jobs API."""
        return f"http://{LOOPBACK}:{self.ports['dashboard-port']}"

    @property
    def gcs(self) -> str:
        """``host:port`` that ``ray.init(address=...)`` takes."""
        return f"{LOOPBACK}:{self.ports['port']}"

    @property
    def metrics(self) -> str:
        """Prometheus endpoint of the node."""
        return f"http://{LOOPBACK}:{self.ports['metrics-export-port']}/metrics"

    @property
    def command(self) -> list[str]:
        """The command line."""
        flags = [f"--{name}={self.ports[name]}" for name in PORT_FLAGS]
        flags += [f"--node-ip-address={LOOPBACK}", f"--dashboard-host={LOOPBACK}", f"--temp-dir={self.temp}"]
        flags += [f"--num-cpus={self.cpus}", "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block"]
        return [str(Path(sys.executable).with_name("ray")), "start", "--head", *flags]


def plan_head(root: Path, environment: Mapping[str, str]) -> HeadPlan:
    """Choose ports, token and folder for a head.

    Args:
        root: the repository.
        environment: of this process; Ray's variables in it are left out, but for the authentication.
    """
    chosen = authentication(environment)
    kept = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(root), kept.get("PYTHONPATH", "")))),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    return HeadPlan(
        root=root,
        temp=Path(tempfile.mkdtemp(prefix="recur-ray-", dir="/tmp")),
        ports=dict(zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)), strict=True)),
        authentication=chosen,
        environment={**kept, **own, **chosen.variables},
        cpus=max(MIN_CPUS, os.cpu_count() or 1),
    )


class Head:
    """The processes of one head. Call `cluster.processes.adopt_orphans` first, so that none of them escapes.

    Args:
        plan: what to start.
    """

    def __init__(self, plan: HeadPlan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: Callable[[float], bool]) -> bool:
        """Start it and wait until the Jobs API answers.

        Args:
            wait: sleeps that many seconds; True ends the waiting.

        Returns:
            False when ``wait`` ended it.

        Raises:
            HeadFailed: it ended, or did not answer within `READY_S`.
        """
        plan = self.plan
        plan.temp.mkdir(exist_ok=True, mode=0o700)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                plan.command,
                env=dict(plan.environment),
                cwd=plan.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        end = time.monotonic() + READY_S
        while not answers(f"{plan.dashboard}/api/jobs/", plan.authentication.token):
            if not self.alive or time.monotonic() > end:
                raise HeadFailed(f"the Ray head did not come up: {self._last_line()}")
            if wait(0.2):
                return False
        return True

    @property
    def alive(self) -> bool:
        """Whether `ray start --block` still runs; it ends as soon as one of the head's processes does."""
        return self._process is not None and self._process.poll() is None

    def end(self, *, without: int | None = None) -> None:
        """Kill the head with its jobs, all at once.

        All at once, because a job that sees its workers die would report a failure; one that is killed is LOST, and the
        service runs it again.

        Args:
            without: another child of this process that stays.
        """
        kill_below(os.getpid(), without=() if without is None else (without,))
        if self._process is not None:
            self._process.wait(5)

    def forget(self) -> None:
        """Remove the head's folder."""
        shutil.rmtree(self.plan.temp, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.plan.temp / "head.log"

    def _last_line(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it printed nothing"


def answers(url: str, token: str | None = None) -> bool:
    """Whether a GET is answered with 200 within two seconds."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy of the environment
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def check_port(host: str, port: int) -> None:
    """See that the port is free before anything is started.

    Raises:
        InputError: it is taken, or this machine has no such address.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise InputError(f"{host}:{port}", f"cannot be listened on ({error.strerror})", "give another --port") from error
