"""A reconciler on a real database and real folders, with the stub job system, a stub helper and a clock that a test sets."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.reconciler import Done, Reconciler, ReconcilerSettings, Tick
from api.reconciler.helper import OUTCOME_FILE, REPORT_FILE
from api.store import Store, attempts, open_store, sweeps
from api.store.rows import AttemptRow, NewSweep, Pool, SweepRow
from cluster.outcome import REQUEST_FILE
from recur.recipe import recipe_to_json, source_sha256
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.result import State
from tests.api.stub_jobs import StubJobs
from tests.recipes import tiny_recipe

ROOT = Path(__file__).resolve().parents[3]
DATABASE = "service.sqlite"
START = 1_795_000_000.0


def recipe_json(*overrides: str) -> dict[str, Any]:
    """The tiny recipe as a sweep carries it; later overrides win."""
    found: dict[str, Any] = json.loads(recipe_to_json(tiny_recipe("artifact.code_bytes=17", "train.peak_tflops=1.0", *overrides)))
    return found


RECIPE = recipe_json()


def on_gpus(count: int) -> dict[str, Any]:
    """The tiny recipe on so many GPUs."""
    batch = f"train.batch_tokens={256 * count}"
    return recipe_json(f"cluster.workers={count}", "cluster.gpus_per_worker=1", f"train.micro_batches={count}", batch)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of steps must not wait for a disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="recur-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _empty_database() -> Path:
    """A migrated database, made once: thousands of lives begin with one."""
    folder = Path(tempfile.mkdtemp(prefix="recur-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_store(f"sqlite:///{folder / DATABASE}").close()
    return folder / DATABASE


class StubTask:
    """A task that has ended when it is first asked."""

    def __init__(self, done: Done | None) -> None:
        self.done, self.killed = done, False

    def poll(self) -> Done | None:
        return self.done

    def kill(self) -> None:
        self.killed = True


class StubHelper:
    """Prepares and reports at once, or as ``answer`` says.

    Attributes:
        answer: how the next tasks end; code 0 leaves the files that the scripts would.
        program: that prepares.
        prepared, reported: names of the sweeps, in order.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.answer = out, Done(code=0, line="")
        self.hangs, self.program = False, source_sha256()
        self.prepared: list[str] = []
        self.reported: list[str] = []
        self.tasks: list[StubTask] = []

    def prepare(self, row: SweepRow) -> StubTask:
        self.prepared.append(row.sweep)
        request: Any = read_json(self.out / row.sweep / REQUEST_FILE)
        if self.answer.code == 0 and not self.hangs:
            told = {
                **request,
                "fingerprint": "f" * 64,
                "source_sha256": self.program,
                "dataset_root": str(self.out / "datasets" / "d"),
                "note": "",
            }
            write_json_atomic(self.out / row.sweep / "sweep_spec.json", told)
        return self._task()

    def report(self, row: SweepRow) -> StubTask:
        self.reported.append(row.sweep)
        assert (self.out / row.sweep / OUTCOME_FILE).exists()
        if self.answer.code == 0 and not self.hangs:
            write_json_atomic(self.out / row.sweep / REPORT_FILE, {"record_path": None, "warning": "not publishable"})
        return self._task()

    def _task(self) -> StubTask:
        self.tasks.append(StubTask(None if self.hangs else self.answer))
        return self.tasks[-1]


class Bench:
    """Everything around one reconciler, and short words for what a test does."""

    def __init__(
        self,
        folder: Path,
        *,
        boundary: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] | None = None,
        **settings: Any,
    ) -> None:
        self.now = START
        self.folder, self.out, self.clock = folder, folder / "out", clock or (lambda: self.now)
        self.out.mkdir(parents=True, exist_ok=True)
        self.stub = StubJobs(folder / "ray", clock=self.clock, boundary=boundary)
        self.helper = StubHelper(self.out)
        chosen: dict[str, Any] = {"root": ROOT, "cpu_slots": 2, **settings}
        self.settings = ReconcilerSettings(**chosen)
        self.boundary = boundary
        if not (folder / DATABASE).exists():
            shutil.copyfile(_empty_database(), folder / DATABASE)
        self.open()

    def open(self) -> None:
        """A new process's view: store and reconciler from what lies on the disk."""
        self.store: Store = open_store(f"sqlite:///{self.folder / DATABASE}", clock=self.clock)
        self.loop = Reconciler(
            self.store,
            self.stub,
            self.stub,
            self.helper,
            out=self.out,
            settings=self.settings,
            clock=self.clock,
            boundary=self.boundary,
        )

    def restart(self) -> None:
        """Forget everything that is only in memory."""
        self.store.close()
        self.open()

    def submit(
        self, sweep: str, *seeds: int, recipe: dict[str, Any] | None = None, priority: int = 0, pool: Pool = Pool.CPU
    ) -> None:
        with self.store.write() as c:
            sweeps.create(
                c, new_sweep(sweep, seeds, at=self.clock(), recipe=recipe, priority=priority, pool=pool), ageing_s=3600.0
            )

    def cancel(self, sweep: str) -> None:
        with self.store.write() as c:
            sweeps.cancel_asked(c, sweep, now=self.clock())

    def retry(self, sweep: str, seed: int) -> AttemptRow:
        with self.store.write() as c:
            old = next(row for row in attempts.current(c, sweep) if row.seed == seed)
            return attempts.retry(c, sweep, seed, now=self.clock(), ageing_s=3600.0, adopt_from=old.attempt, automatic=None)

    def tick(self, seconds: float = 1.0) -> Tick:
        self.now += seconds
        return self.loop.tick()

    def ticks(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.tick(seconds)

    def row(self, sweep: str, seed: int) -> AttemptRow:
        with self.store.read() as c:
            return next(row for row in attempts.current(c, sweep) if row.seed == seed)

    def history(self, sweep: str) -> tuple[AttemptRow, ...]:
        with self.store.read() as c:
            return attempts.history(c, sweep)

    def states(self, sweep: str) -> list[State]:
        with self.store.read() as c:
            return [row.state for row in attempts.current(c, sweep)]

    def attempt(self, sweep: str, seed: int, number: int = 1) -> AttemptDir:
        return AttemptDir(self.out / sweep, seed, number)

    def running(self, sweep: str = "swp", seed: int = 1) -> str:
        """Submit one seed and let its job run; returns the job's id."""
        self.submit(sweep, seed)
        self.ticks(2)
        job = self.row(sweep, seed).job_id
        self.stub.start(job)
        self.stub.beat(job)
        self.tick()
        assert self.row(sweep, seed).state is State.RUNNING, self.row(sweep, seed)
        return job


def new_sweep(
    sweep: str,
    seeds: Sequence[int],
    *,
    at: float = START,
    recipe: dict[str, Any] | None = None,
    priority: int = 0,
    pool: Pool = Pool.CPU,
) -> NewSweep:
    """A checked submission."""
    return NewSweep(
        sweep=sweep,
        name=sweep,
        profile="smoke",
        overrides={},
        recipe=recipe or RECIPE,
        seeds=tuple(seeds),
        priority=priority,
        baseline=None,
        pool=pool,
        created_at=at,
    )
