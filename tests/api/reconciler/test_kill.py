"""kill -9 of the server at every point where it matters: nothing is lost, doubled or stuck, and it recovers in seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.store import Store, attempts, open_store
from api.store.rows import AttemptRow
from recur.record.result import State
from tests.api.reconciler.kit import DATABASE, ROOT, Bench, quick_folder
from tests.api.reconciler.server import BOUNDARIES
from tests.api.stub_jobs import StubJobs
from tests.api.volume import measured, volume

JOBS = {"swp-s1-a1", "swp-s2-a1", "del-s3-a1"}


def rows_of(store: Store) -> dict[str, AttemptRow]:
    """The attempts of the two sweeps that are asked for, by the ids of their jobs."""
    with store.read() as c:
        return {row.job_id: row for sweep in ("swp", "del") for row in attempts.history(c, sweep)}


class World:
    """A server's folder, the jobs that run beside it, and the people who ask for things."""

    def __init__(self, folder: Path) -> None:
        Bench(folder).store.close()
        self.folder, self.stub = folder, StubJobs(folder / "ray")
        (folder / "inbox").mkdir()
        self.store = open_store(f"sqlite:///{folder / DATABASE}")
        self.rows: list[AttemptRow] = []

    def ask(self, name: str) -> None:
        (self.folder / "inbox" / name).touch()

    def look(self) -> dict[str, AttemptRow]:
        return rows_of(self.store)

    def play(self, stop: threading.Event) -> None:
        """Jobs start when they are pending and end when the service has seen them run; one never ends by itself."""
        while not stop.is_set():
            rows = self.look()
            for job in self.stub.jobs():
                if not job.alive:
                    continue
                self.stub.start(job.job_id)
                self.stub.beat(job.job_id)
                row = rows.get(job.job_id)
                if row is not None and row.state is State.RUNNING:
                    if job.job_id != "del-s3-a1":
                        self.stub.finish(job.job_id, exits=False)
                        self.stub.exit(job.job_id)
                    elif not (self.folder / "asked").exists():
                        (self.folder / "asked").touch()
                        self.ask("cancel.del")
            stop.wait(0.1)

    @property
    def over(self) -> bool:
        rows = self.look()
        return set(rows) == JOBS and all(row.state.terminal for row in rows.values())


@contextmanager
def server(folder: Path, *dashboard: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process of its own; ended by SIGTERM if it is still there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "server.log").open("ab") as log:
        line = [sys.executable, "-m", "tests.api.reconciler.server", str(folder), *dashboard]
        process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def wait(what: object, seconds: float) -> bool:
    """Whether ``what()`` became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def killed_at(boundary: str, folder: Path) -> float:
    """One life with a kill at a boundary; seconds from the restart until everything has ended as it should."""
    world = World(folder)
    (folder / "kill").write_text(boundary)
    stop = threading.Event()
    player = threading.Thread(target=world.play, args=(stop,))
    player.start()
    try:
        world.ask("submit.swp.1_2")
        world.ask("submit.del.3")
        with server(folder) as first:
            assert wait(lambda: first.poll() is not None, 60), f"{boundary} was never reached"
            assert first.returncode == -signal.SIGKILL, (folder / "server.log").read_text()[-3000:]
        began = time.monotonic()
        with server(folder) as second:
            assert wait(lambda: world.over or second.poll() is not None, 60), (boundary, world.look())
            took_s = time.monotonic() - began
            assert second.poll() is None, (folder / "server.log").read_text()[-3000:]
    finally:
        stop.set()
        player.join()
    ends = {name: row.state for name, row in world.look().items()}
    world.store.close()
    assert ends == {"swp-s1-a1": State.SUCCEEDED, "swp-s2-a1": State.SUCCEEDED, "del-s3-a1": State.CANCELLED}
    assert sorted(world.stub.accepted()) == sorted(JOBS)
    return took_s


@pytest.mark.service
@pytest.mark.timeout(4 * 3600)
def test_kill_9_at_every_boundary_loses_doubles_and_blocks_nothing() -> None:
    times, took = volume(3, 50, gate=1), list[float]()
    for boundary in BOUNDARIES:
        for _ in range(times):
            with quick_folder() as folder:
                took.append(killed_at(boundary, folder))
    took.sort()
    p95_s = took[int(0.95 * (len(took) - 1))]
    numbers = {"kills": len(took), "boundaries": len(BOUNDARIES), "lost": 0, "duplicate_jobs": 0, "stuck": 0}
    measured("kill_9", numbers | {"recovered_p50_s": took[len(took) // 2], "recovered_p95_s": p95_s, "recovered_max_s": took[-1]})
    assert p95_s < 10
