"""Processes that use the store beside the test's own: ``python -m tests.api.store.workers WHAT URL [ARGUMENT ...]``."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from api.store import ForbiddenMove, Store, StoreUnavailable, attempts, events, open_store, sweeps
from api.store.rows import Pool
from recur.record.result import State
from tests.api.store.kit import HOUR_S, current, drive, new_sweep, prepare, put

ROOT = Path(__file__).parents[3]


def start(what: str, url: str, *given: object) -> subprocess.Popen[str]:
    """Start one; its lines can be read from ``stdout``."""
    command = [sys.executable, "-m", "tests.api.store.workers", what, url, *map(str, given)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes: list[subprocess.Popen[str]], *, timeout_s: float = 300.0) -> list[str]:
    """What each printed; all must have ended well."""
    done = [process.communicate(timeout=timeout_s) for process in processes]
    for process, (_, stderr) in zip(processes, done, strict=True):
        assert process.returncode == 0, stderr
    return [stdout for stdout, _ in done]


def open_only(url: str) -> None:
    """Open an empty database and leave a sweep's worth of proof that it works."""
    store = open_store(url)
    print(store.migrations().up_to_date)
    store.close()


def submit_forever(url: str, prefix: str) -> None:
    """Take sweeps in, half of them driven on, and say each only when it is committed; until killed."""
    store = open_store(url)
    number = 0
    while True:
        name = f"{prefix}-{number}"
        put(store, name, seeds=(1, 2))
        with store.write() as c:
            drive(c, current(c, name, 1), State.RUNNING)
        print(name, flush=True)
        number += 1


def admit_until_done(url: str, slots: str) -> None:
    """Admit into so many slots and end what was admitted, until the queue is empty; say every job id admitted."""
    store = open_store(url)
    while True:
        with store.write() as c:
            got = attempts.admit(c, Pool.CPU, int(slots), now=time.time(), limit=2)
            held = attempts.held(c, Pool.CPU)
            waiting = attempts.queued(c, Pool.CPU, 1, prepared_only=True)
        assert held <= int(slots), held
        for row in got:
            print(row.job_id, flush=True)
            with store.write() as c:
                assert attempts.move(c, row, State.FAILED, now=time.time(), reason="done") is not None
        if not waiting and not held:
            break
    store.close()


def race(url: str, sweep: str, rounds: str) -> None:
    """Try to end seed after seed of a sweep as the only one; say the seeds won."""
    store = open_store(url)
    for seed in range(int(rounds)):
        with store.read() as c:
            row = current(c, sweep, seed)
        if row.state.terminal:
            continue
        with store.write() as c:
            try:
                won = attempts.move(c, row, State.CANCELLED, now=time.time()) is not None
            except ForbiddenMove:
                won = False
            events.add(c, sweep, "progress", at=time.time(), seed=seed)
        if won:
            print(seed, flush=True)
    store.close()


def fill(url: str, size_kb: str) -> None:
    """Write until files may not grow beyond so many KiB, ten times over; then with the limit gone.

    Says for each refusal whether it was told that the disk is full, and at last the sweeps committed.
    """
    store = open_store(url)
    kept: list[str] = []
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for turn in range(3):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size_kb) * 1024 + turn * 65536, hard))
        print(_write_until_refused(store, f"t{turn}", kept), flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        put(store, f"after-{turn}")
        kept.append(f"after-{turn}")
    print(*kept, flush=True)
    store.close()


def _write_until_refused(store: Store, prefix: str, kept: list[str]) -> str:
    for number in range(100_000):
        name = f"{prefix}-{number}"
        try:
            with store.write() as c:
                sweeps.create(c, new_sweep(name, recipe={"text": "x" * 20_000}), ageing_s=HOUR_S)
                prepare(c, name)
        except StoreUnavailable as error:
            return f"full={error.full}"
        kept.append(name)
    return "never refused"


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
