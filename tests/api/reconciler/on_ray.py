"""The service's store and reconciler in this process, with seeds that run as jobs on a real Ray head."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from api.reconciler import Reconciler, ReconcilerSettings, SubprocessHelper
from api.store import attempts, open_store, sweeps
from api.store.rows import AttemptRow, SweepRow
from cluster.job_client import RayJobs
from cluster.launch import seed_environment
from recur.record.result import State
from tests.api.reconciler.kit import DATABASE, ROOT, new_sweep, recipe_json
from tests.cluster.kit import Head, wait_for

UP_S = 240
"""Preparing, the job's start and training's first step, on a busy machine."""


class Service:
    """Store and reconciler in this process, on a head."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.out = folder / "out"
        self.out.mkdir(exist_ok=True)
        self.store = open_store(f"sqlite:///{folder / DATABASE}")
        self.jobs = RayJobs(head.dashboard)
        self.loop = Reconciler(
            self.store,
            self.jobs,
            self.jobs,
            SubprocessHelper(ROOT, self.out),
            out=self.out,
            settings=ReconcilerSettings(root=ROOT, runtime_env=seed_environment(ROOT), tick_s=0.5),
            clock=time.time,
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.loop.run, args=(self.stop,))

    def __enter__(self) -> Service:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.loop.nudge()
        self.thread.join(30)
        self.store.close()

    def submit(self, sweep: str, *overrides: str) -> None:
        with self.store.write() as c:
            new = new_sweep(sweep, (42,), at=time.time(), recipe=recipe_json("train.peak_tflops=1.0", *overrides))
            sweeps.create(c, new, ageing_s=3600.0)
        self.loop.nudge()

    def row(self, sweep: str) -> AttemptRow:
        with self.store.read() as c:
            return attempts.current(c, sweep)[0]

    def sweep(self, name: str) -> SweepRow:
        with self.store.read() as c:
            found = sweeps.get(c, name)
        assert found is not None
        return found

    def until(self, sweep: str, *states: State, seconds: float = UP_S) -> AttemptRow:
        def there() -> bool:
            row = self.row(sweep)
            assert row.state in states or not row.state.terminal, (row.state, row.reason)
            return row.state in states

        wait_for(there, seconds)
        return self.row(sweep)

    def training(self, sweep: str) -> AttemptRow:
        """The sweep's seed, once its heartbeat shows a step."""
        self.until(sweep, State.RUNNING)
        wait_for(lambda: self.row(sweep).progress.get("step"), UP_S)
        return self.row(sweep)
