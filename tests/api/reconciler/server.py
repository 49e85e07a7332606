"""A server process for tests that kill it: store, reconciler and submissions, as the service runs them, without HTTP.

`python -m tests.api.reconciler.server FOLDER`: what is asked lies as files in FOLDER/inbox (submit.NAME.SEEDS, cancel.NAME); a
file is removed when it has been done, which is the reply. The boundary named in FOLDER/kill ends the process by SIGKILL, once.
With a dashboard's address behind the folder the jobs and the helper are real ones.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from api.reconciler import Helper, Reconciler, ReconcilerSettings, SubprocessHelper
from api.store import Store, open_store, sweeps
from cluster.job_client import JobRequest, RayJobs
from cluster.launch import seed_environment
from cluster.signals import Flag
from tests.api.reconciler.kit import DATABASE, ROOT, StubHelper, new_sweep
from tests.api.stub_jobs import StubJobs

BOUNDARIES = (
    "before_commit",
    "after_commit",
    "lease",
    "intent",
    "post_sent",
    "reply",
    "reply_commit",
    "running_seen",
    "result_written",
    "ingest",
    "terminal",
    "cancel_intent",
    "stop",
)
ROUND_FILE = "round"
"""When a round last ended in which the job system answered."""


class Killer:
    """Ends this process at the boundary named in a file, which goes first: the next process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, name: str) -> None:
        if self._path.exists() and self._path.read_text() == name:
            self._path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class SentRayJobs(RayJobs):
    """Ray, with the boundary between a submission and its reply."""

    def __init__(self, address: str, boundary: Killer) -> None:
        super().__init__(address)
        self._boundary = boundary

    def submit(self, request: JobRequest) -> None:
        super().submit(request)
        self._boundary("post_sent")


class Server:
    """What one process does until it is told to stop, or killed."""

    def __init__(self, folder: Path, dashboard: str | None) -> None:
        self.inbox, self.kill = folder / "inbox", Killer(folder / "kill")
        self.round, self.told = folder / ROUND_FILE, 0.0
        self.store: Store = open_store(f"sqlite:///{folder / DATABASE}")
        out = folder / "out"
        jobs = SentRayJobs(dashboard, self.kill) if dashboard else StubJobs(folder / "ray", boundary=self.kill)
        helper: Helper = SubprocessHelper(ROOT, out) if dashboard else StubHelper(out)
        environment = seed_environment(ROOT) if dashboard else {}
        self.loop = Reconciler(
            self.store,
            jobs,
            jobs,
            helper,
            out=out,
            settings=ReconcilerSettings(root=ROOT, runtime_env=environment, tick_s=0.2, cpu_slots=3 if not dashboard else 1),
            clock=time.time,
            boundary=self.kill,
        )

    def run(self, stop: Flag) -> None:
        """Answer the inbox beside the reconciler."""
        ended = threading.Event()
        thread = threading.Thread(target=self.loop.run, args=(ended,))
        thread.start()
        while not stop.is_set():
            for path in sorted(self.inbox.glob("*.*")):
                self._do(path)
            self._tell_round()
            stop.wait(0.05)
        ended.set()
        self.loop.nudge()
        thread.join()
        self.store.close()

    def _tell_round(self) -> None:
        health = self.loop.health
        if health.at is not None and health.degraded is None and health.at != self.told:
            self.told = health.at
            self.round.write_text(str(health.at))

    def _do(self, path: Path) -> None:
        words = path.name.split(".")
        with self.store.write() as c:
            if words[0] == "cancel":
                sweeps.cancel_asked(c, words[1], now=time.time())
            elif sweeps.get(c, words[1]) is None:
                seeds = [int(seed) for seed in words[2].split("_")]
                told = path.read_text()
                sweeps.create(c, new_sweep(words[1], seeds, at=time.time(), recipe=_recipe(told)), ageing_s=3600.0)
            self.kill("before_commit")
        self.kill("after_commit")
        path.unlink()
        self.loop.nudge()


def _recipe(text: str) -> dict[str, object] | None:
    """The recipe that a request carries; None for the tiny one."""
    return json.loads(text) if text else None


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = Flag()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Server(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None).run(stop)


if __name__ == "__main__":
    main()
