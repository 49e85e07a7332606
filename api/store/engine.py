"""Engines for the two databases; both give one writer at a time and readers that never wait.

SQLite: WAL, ``synchronous=FULL`` (a commit is on disk when it returns), ``BEGIN IMMEDIATE`` for writers. The sqlite3 driver is
told to begin nothing by itself (``isolation_level=None``) and the engine's begin hook says BEGIN, as SQLAlchemy 2.1 documents for
Pythons before 3.12. PostgreSQL: writers take one advisory lock of the database, so that what holds on one database (event
order, slots, no deadlocks) holds on the other; readers are REPEATABLE READ and READ ONLY.

A pool of one connection makes the writers of a process wait in line; SQLite's own waiting is polling and unfair.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from api.store.errors import unavailable
from recur.errors import InputError

LOCK_WAIT_S = 10.0
READERS = 10
MORE_READERS = 40
WRITERS_LOCK = 0x7265637572  # "recur" in ASCII: the advisory lock of PostgreSQL's writers


@dataclass(frozen=True, kw_only=True)
class Engines:
    """One for readers, one for writers, and one for migrations (a writer without foreign keys, see `migrate`)."""

    reader: Engine
    writer: Engine
    migrator: Engine

    def dispose(self) -> None:
        """Close every idle connection."""
        for engine in (self.reader, self.writer, self.migrator):
            engine.dispose()


def parse_url(url: str) -> URL:
    """The database's address, with our driver.

    Raises:
        InputError: neither a SQLite file nor a PostgreSQL database.
    """
    rule = "must be sqlite:////absolute/path/file.db or postgresql+psycopg://user@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError("database url", rule, "correct it") from error
    shown = f"database url {parsed.render_as_string(hide_password=True)!r}"
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise InputError(shown, rule, "a SQLite database must be a file, without options")
    return parsed


def make_engines(url: URL) -> Engines:
    """Engines for ``url``; a SQLite file is made, with its folder, where it is missing.

    Raises:
        StoreUnavailable: the SQLite file cannot be opened.
    """
    if url.get_backend_name() == "postgresql":
        return Engines(
            reader=_postgres(url, writer=False), writer=_postgres(url, writer=True), migrator=_postgres(url, writer=True)
        )
    _make_file(Path(str(url.database)))
    return Engines(
        reader=_sqlite(url, "BEGIN", query_only=True, pool_size=READERS, max_overflow=MORE_READERS),
        writer=_sqlite(url, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0),
        migrator=_sqlite(url, "BEGIN IMMEDIATE", foreign_keys=False, poolclass=NullPool),
    )


def _make_file(path: Path) -> None:
    """Make the file for its owner only (it holds hashes of keys) and switch it to WAL, which stays.

    The switch needs the file for itself and SQLite does not wait for that, hence the loop.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise unavailable(f"cannot make the database {path}", error) from error
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise unavailable(f"cannot open the database {path}", error) from error
            time.sleep(0.02)
        finally:
            connection.close()


def _sqlite(url: URL, begin: str, *, foreign_keys: bool = True, query_only: bool = False, **pool: Any) -> Engine:
    if "poolclass" not in pool:
        pool["pool_timeout"] = LOCK_WAIT_S
    engine = create_engine(url, connect_args={"timeout": LOCK_WAIT_S, "isolation_level": None}, hide_parameters=True, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA foreign_keys={int(foreign_keys)}")
        connection.execute(f"PRAGMA query_only={int(query_only)}")

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres(url: URL, *, writer: bool) -> Engine:
    size = {"pool_size": 1, "max_overflow": 0} if writer else {"pool_size": READERS, "max_overflow": MORE_READERS}
    options: dict[str, Any] = {"pool_timeout": LOCK_WAIT_S, "pool_pre_ping": True, "hide_parameters": True, **size}
    if not writer:
        options["isolation_level"] = "REPEATABLE READ"
    connect = {"connect_timeout": int(LOCK_WAIT_S), "application_name": "recur"}
    engine = create_engine(url, connect_args=connect, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"SET lock_timeout = '{int(LOCK_WAIT_S * 1000)}ms'")
        connection.execute("SET synchronous_commit = on")
        connection.commit()

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})" if writer else "SET TRANSACTION READ ONLY")

    return engine
