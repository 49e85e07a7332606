"""kill -9 in the middle of writing: what was said to be committed is there, whole; nothing is there by halves."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from api.store import Store, attempts, open_store, sweeps
from recur.record.result import State
from tests.api.postgres import running_postgres
from tests.api.store import workers
from tests.api.store.kit import integrity, numbers, put
from tests.api.volume import volume


def killed(url: str, prefix: str, after_s: float) -> list[str]:
    """Sweeps that a writing process said it had committed before it was killed."""
    process = workers.start("submit_forever", url, prefix)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()  # not communicate(), which would lose what the pipe's reader holds already
    assert process.wait(60) == -signal.SIGKILL
    return [name for name in (first + rest).split("\n")[:-1] if name]


def check_whole(store: Store, committed: list[str], prefix: str) -> None:
    """Every sweep said is there in full, and at most the one begun after it."""
    with store.read() as c:
        page = sweeps.listed(c, limit=200, after=None, state=None, sort="-created_at")
        there: list[str] = []
        while True:
            there += [line.id for line in page.lines if line.id.startswith(f"{prefix}-")]
            if page.next is None:
                break
            page = sweeps.listed(c, limit=200, after=page.next, state=None, sort="-created_at")
        assert set(committed) <= set(there)
        assert len(there) - len(committed) in (0, 1)
        for name in there:
            sweep, rows = sweeps.get(c, name), attempts.current(c, name)
            assert sweep is not None and numbers(c, name) == list(range(1, sweep.event_count + 1))
            driven = rows[0].state is State.RUNNING
            assert len(rows) == 2 and sweep.event_count == (5 if driven else 2)
            assert driven or name not in committed


@pytest.mark.service
def test_a_killed_writer_loses_nothing_it_had_committed(url: str) -> None:
    chance = random.Random(5)
    store = open_store(url)
    for turn in range(volume(4, 50, gate=2)):
        committed = killed(url, f"t{turn}", chance.uniform(0.0, 0.4))
        check_whole(store, committed, f"t{turn}")
        put(store, f"after-{turn}")
    path = store.file
    store.close()
    if path is not None:
        assert integrity(path) == "ok"


@pytest.mark.service
def test_a_killed_writer_s_file_is_whole_when_it_is_opened_first_by_another(tmp_path: Path) -> None:
    """Nobody else had it open: the next to open it recovers the write-ahead log."""
    url = f"sqlite:///{tmp_path}/store.db"
    committed = killed(url, "t", 0.1)
    assert committed
    store = open_store(url)
    check_whole(store, committed, "t")
    store.close()
    assert integrity(tmp_path / "store.db") == "ok"


@pytest.mark.service
def test_a_postgres_that_crashes_keeps_what_was_committed() -> None:
    with running_postgres() as server:
        url = server.database()
        for turn in range(volume(2, 20, gate=1)):
            process = workers.start("submit_forever", url, f"t{turn}")
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(0.3)
            server.stop(how=signal.SIGQUIT)
            rest = process.stdout.read()
            assert process.stderr is not None and "StoreUnavailable" in process.stderr.read()
            process.wait(60)
            server.start()
            store = open_store(url)
            check_whole(store, (first + rest).split(), f"t{turn}")
            store.close()
