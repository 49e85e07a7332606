"""Transactions: snapshots, one writer, what is taken back, and what a caller hears when the database does not work."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.store import Store, StoreUnavailable, attempts, engine, open_store, sweeps
from recur.errors import InputError
from tests.api.postgres import Postgres, running_postgres
from tests.api.store.kit import HOUR_S, new_sweep, put


def test_a_reader_sees_one_moment(store: Store) -> None:
    put(store, "a-1")
    with store.read() as c:
        assert sweeps.get(c, "b-1") is None
        put(store, "b-1")
        assert sweeps.get(c, "b-1") is None
        assert attempts.current(c, "b-1") == ()
    with store.read() as c:
        assert sweeps.get(c, "b-1") is not None


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="read"), store.read() as c:
        sweeps.create(c, new_sweep(), ageing_s=HOUR_S)
    with store.read() as c:
        assert sweeps.get(c, "a-1") is None


def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    with store.write() as c:
        sweeps.create(c, new_sweep(), ageing_s=HOUR_S)
        started = time.monotonic()
        with store.read() as reader:
            assert sweeps.get(reader, "a-1") is None
        assert time.monotonic() - started < 2.0


def test_a_second_writer_waits_for_the_first(store: Store) -> None:
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.wait()
        with store.write() as c:
            order.append("second")
            assert sweeps.get(c, "a-1") is not None

    thread = threading.Thread(target=second)
    thread.start()
    with store.write() as c:
        entered.set()
        time.sleep(0.2)
        sweeps.create(c, new_sweep(), ageing_s=HOUR_S)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_writer_elsewhere_that_stays_too_long_is_an_unavailable_store(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOCK_WAIT_S", 0.2)
    one, other = open_store(url), open_store(url)
    with one.write() as c:
        sweeps.create(c, new_sweep(), ageing_s=HOUR_S)
        with pytest.raises(StoreUnavailable) as caught, other.write():
            pytest.fail("two writers at once")
        assert not caught.value.full
    put(other, "b-1")
    with other.read() as c:
        assert sweeps.get(c, "a-1") is not None
    one.close()
    other.close()


def test_a_wrong_statement_is_an_error_of_ours_not_an_unavailable_store(store: Store) -> None:
    put(store)
    with pytest.raises(DBAPIError), store.write() as c:
        c.execute(text("INSERT INTO sweeps (sweep) VALUES ('a-1')"))


def test_sqlite_commits_reach_the_disk_and_foreign_keys_hold(sqlite_store: Store) -> None:
    with sqlite_store.write() as c:
        pragmas = {
            name: c.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_sqlite_file_belongs_to_its_owner_only(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/deep/er/store.db")
    put(store)
    files = list((tmp_path / "deep" / "er").iterdir())
    assert {p.name for p in files} == {"store.db", "store.db-wal", "store.db-shm"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    store.close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:////tmp/x.db?mode=memory", "mysql://u@h/d", "nonsense", "", "oracle+x://"]
)
def test_other_databases_are_refused_in_one_line(url: str) -> None:
    with pytest.raises(InputError, match="must be sqlite:") as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    store = Store("postgresql://ann:secret-word@127.0.0.1:1/recur")
    assert store.url == "postgresql+psycopg://ann:***@127.0.0.1:1/recur"
    with pytest.raises(StoreUnavailable) as caught:
        store.check()
    assert "secret-word" not in str(caught.value) and "\n" not in str(caught.value)
    store.close()


def test_a_file_that_is_no_database_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is no database at all, but some text of another program\n" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(StoreUnavailable):
        open_store(f"sqlite:///{tmp_path}/store.db/below/a/file.db")


def test_a_damaged_database_is_an_unavailable_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    for i in range(50):
        put(store, f"a-{i}")
    store.close()
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(StoreUnavailable, match="malformed"):
        store = open_store(f"sqlite:///{path}")
        with store.read() as c:
            sweeps.listed(c, limit=200, after=None, state=None, sort="name")


def test_check_answers_while_the_database_works(store: Store) -> None:
    store.check()
    assert store.migrations().up_to_date


@pytest.mark.service
def test_a_postgres_that_goes_away_and_comes_back_is_used_again() -> None:
    with running_postgres() as server:
        store = open_store(server.database())
        put(store, "a-1")
        _cut(server, store)
        server.start()
        put(store, "b-1")
        with store.read() as c:
            assert sweeps.get(c, "a-1") is not None
        store.close()


def _cut(server: Postgres, store: Store) -> None:
    """Stop the server like a crash, in the middle of a transaction."""
    import signal

    with pytest.raises(StoreUnavailable), store.write() as c:
        sweeps.create(c, new_sweep("half"), ageing_s=HOUR_S)
        server.stop(how=signal.SIGQUIT)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.check()
