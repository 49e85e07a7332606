"""What the tests of client and commands share: a real server in this process, a line between that breaks as told, commands."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import uvicorn

from api.__main__ import Server
from api.app import create_app
from api.client import Client, Patience
from api.service import Context
from cluster.head import answers, free_ports
from jobs.cli import app
from jobs.errors import run_app
from tests.api.kit import settings
from tests.cluster.kit import ROOT, wait_for

QUICK = Patience(total_s=10.0, first_s=0.02, longest_s=0.1)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service that listens on a port."""

    url: str
    port: int
    ctx: Context

    def client(self, url: str | None = None, key: str | None = None, patience: Patience = QUICK) -> Client:
        return Client(url or self.url, key, patience=patience)


@contextmanager
def served(folder: Path, port: int | None = None, **changes: Any) -> Iterator[Served]:
    """A real uvicorn with the application below ``folder``; ``changes`` are settings."""
    port = port or free_ports(1)[0]
    app = create_app(settings(folder, port=port, **changes))
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, name="served", daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/healthz"), 20, every_s=0.02)
        yield Served(url=url, port=port, ctx=app.state.context)
    finally:
        server.should_exit = True
        thread.join(10)


class Line:
    """A TCP line to a port. Each new connection takes the next fault of ``faults``: None lets everything through.

    ``"refuse"`` closes it before anything was sent; ``"lose"`` lets the request through and closes when the answer begins; a
    number closes it when that many bytes of answers have passed.
    """

    def __init__(self, port: int, faults: Sequence[str | int | None]) -> None:
        self.faults, self.connections, self._port = list(faults), 0, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.pop(0) if self.faults else None
            threading.Thread(target=self._carry, args=(near, fault), daemon=True).start()

    def _carry(self, near: socket.socket, fault: str | int | None) -> None:
        if fault == "refuse":
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=_copy, args=(near, far), daemon=True).start()
        _copy(far, near, {"lose": 0}.get(str(fault), fault if isinstance(fault, int) else None))


def _copy(source: socket.socket, target: socket.socket, limit: int | None = None) -> None:
    """Carry bytes until one side ends, or until the first byte past ``limit``; then both are closed."""
    passed = 0
    with contextlib.suppress(OSError):  # a side that is gone ends the copying, as its end of data does
        while data := source.recv(65536):
            if limit is not None and passed + len(data) > limit:
                target.sendall(data[: limit - passed])
                break
            target.sendall(data)
            passed += len(data)
    for side in (source, target):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
        finally:
            side.close()


@contextmanager
def line(port: int, *faults: str | int | None) -> Iterator[Line]:
    """A `Line` that is closed afterwards."""
    made = Line(port, faults)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def recur(*words: str, env: Mapping[str, str] | None = None) -> Ended:
    """`recur ...` as a person types it, in this process (a process of its own takes a second to start)."""
    out, err = io.StringIO(), io.StringIO()
    surroundings = mock.patch.dict(os.environ, environment(env), clear=True), mock.patch.object(sys, "argv", ["recur", *words])
    with surroundings[0], surroundings[1], redirect_stdout(out), redirect_stderr(err):
        try:
            run_app(app)
        except SystemExit as end:
            code = end.code
    return Ended(returncode=int(code or 0), stdout=out.getvalue(), stderr=err.getvalue())


def recur_process(*words: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    line = [sys.executable, "-m", "jobs.cli", *words]
    return subprocess.run(line, env=environment(env), cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without Ray's and the service's variables, with ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RECUR_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "160", "OMP_NUM_THREADS": "1", **(extra or {})}
