"""A backup is one consistent moment of a database that is being written."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from api.store import Store, StoreUnavailable, attempts, backup, open_store, sweeps
from recur.errors import InputError
from tests.api.postgres import Postgres
from tests.api.store.kit import integrity, numbers, put
from tests.cluster.kit import ROOT


def test_a_backup_taken_while_sweeps_come_in_is_whole(sqlite_store: Store, tmp_path: Path) -> None:
    stop = threading.Event()
    done: list[str] = []

    def write() -> None:
        while not stop.is_set():
            put(sqlite_store, f"w-{len(done)}")
            done.append(f"w-{len(done)}")

    writer = threading.Thread(target=write)
    writer.start()
    kept = []
    for i in range(3):
        before = len(done)
        backup(sqlite_store, tmp_path / f"copy-{i}.db")
        kept.append(before)
    stop.set()
    writer.join()
    for i, before in enumerate(kept):
        path = tmp_path / f"copy-{i}.db"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert integrity(path) == "ok"
        copy = open_store(f"sqlite:///{path}")
        with copy.read() as c:
            have = [name for name in (f"w-{n}" for n in range(len(done))) if sweeps.get(c, name)]
            assert have[:before] == [f"w-{n}" for n in range(before)]
            for name in have:
                assert len(attempts.current(c, name)) == 3
                assert numbers(c, name) in ([1], [1, 2])
        put(copy, "after")
        copy.close()


def test_a_backup_replaces_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("precious")
    with pytest.raises(InputError, match="exists"):
        backup(sqlite_store, target)
    assert target.read_text() == "precious"


def test_a_backup_that_cannot_be_written_leaves_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot write the backup"):
        backup(sqlite_store, tmp_path / "no" / "such" / "copy.db")
    assert not (tmp_path / "no").exists()


def test_postgres_is_left_to_pg_dump(postgres: Postgres) -> None:
    store = open_store(postgres.database())
    with pytest.raises(InputError, match="pg_dump"):
        backup(store, Path("/nowhere/copy"))
    store.close()


def test_a_backup_of_a_database_that_is_not_there_is_refused_and_makes_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "backup", str(tmp_path / "copy.db"), "--out", str(tmp_path / "typo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "service.sqlite does not exist; give the service's --out" in done.stderr
    assert list(tmp_path.iterdir()) == []
