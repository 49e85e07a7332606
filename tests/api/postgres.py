"""A throw-away PostgreSQL for tests: own folder, unix socket only, durable like a real one, stopped by its pid.

PostgreSQL refuses to run as root; then it runs as the Debian package's user ``postgres``. Without the package the tests are
skipped, unless ``RECUR_REQUIRE_POSTGRES`` is set (the gate sets it): then they fail.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypedDict

import psycopg
import pytest

USER = "postgres"
START_S = 60.0


@dataclass(kw_only=True)
class Postgres:
    """A running server.

    Attributes:
        folder: holds its data, its log and its socket.
        process: the postmaster.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    binaries: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def database(self) -> str:
        """A new, empty database's address."""
        name = f"recur_{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: open sessions are cut, what was committed is kept. SIGQUIT: at once, as after a crash."""
        self.process.send_signal(how)
        self.process.wait(START_S)

    def start(self) -> None:
        """Start again after `stop`."""
        self.process = _serve(self.binaries, self.folder)


def find_binaries() -> Path | None:
    """Folder of ``initdb`` and ``postgres``: Debian's newest, else the PATH's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for the block; skips or fails the test where PostgreSQL is not installed."""
    binaries = find_binaries()
    if binaries is None:
        why = "PostgreSQL is not installed (Debian package postgresql)"
        if os.environ.get("RECUR_REQUIRE_POSTGRES"):
            pytest.fail(f"RECUR_REQUIRE_POSTGRES is set but {why}")
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="recur-pg-", dir="/tmp"))  # the socket's path must be short
    try:
        if as_user := _as_user():
            os.chown(folder, as_user["user"], as_user["group"])
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            folder / "data",
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
        server = Postgres(folder=folder, process=_serve(binaries, folder), binaries=binaries)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop(how=signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests; each takes its own database."""
    with running_postgres() as server:
        yield server


def _serve(binaries: Path, folder: Path) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-k", folder]
    command += ["-c", "listen_addresses=", "-c", "fsync=on"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, **_as_user())
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            psycopg.connect(host=str(folder), user=USER, dbname="postgres").close()
            return process
        except psycopg.OperationalError:
            time.sleep(0.05)
    process.kill()
    pytest.fail(f"PostgreSQL did not start:\n{(folder / 'log').read_text()[-2000:]}")


class _User(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _as_user() -> _User:
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
