"""The open database: transactions to read and to write, its health, its migrations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.store.engine import LOCK_WAIT_S, Engines, make_engines, parse_url
from api.store.errors import StoreUnavailable, unavailable
from api.store.migrate import MigrationState, migration_state, upgrade
from recur.errors import InputError


class Store:
    """The service's database. Safe to share by threads; every process opens its own.

    Attributes:
        url: the database's address, without a password.
        file: the database itself; None where it is not SQLite.
        clock: seconds since 1970.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        parsed = parse_url(url)
        self.url = parsed.render_as_string(hide_password=True)
        self.file = Path(str(parsed.database)).absolute() if parsed.get_backend_name() == "sqlite" else None
        self.clock = clock
        self._engines: Engines = make_engines(parsed)

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one moment and changes nothing.

        Raises:
            StoreUnavailable: the database is away, damaged or locked.
        """
        return _transaction(self._engines.reader)

    def write(self) -> AbstractContextManager[Connection]:
        """The one writing transaction: committed to disk at the end, taken back after an exception. It cannot be nested.

        Raises:
            StoreUnavailable: nothing was kept: the database is away, damaged, full, or others wrote for too long.
        """
        return _transaction(self._engines.writer)

    def upgrade(self) -> None:
        """Bring the tables to the newest migration; others that start at the same time wait.

        Raises:
            InputError: the database was written by a newer version.
            StoreUnavailable: as `write`.
        """
        with _transaction(self._engines.migrator) as c:
            upgrade(c)

    def migrations(self) -> MigrationState:
        """Which migration the database is at and which this version wants."""
        with self.read() as c:
            return migration_state(c)

    def check(self) -> None:
        """Read one row.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with self.read() as c:
            c.execute(text("SELECT version_num FROM alembic_version")).all()

    def close(self) -> None:
        """Close the connections."""
        self._engines.dispose()


def open_store(url: str, *, clock: Callable[[], float] = time.time) -> Store:
    """Open the database and bring it to the newest migration.

    The store keeps a connection from here on, so that SQLite's two side files stay: a disk that fills up later can still be
    read.

    Args:
        url: ``sqlite:////absolute/path/file.db`` (made where missing) or ``postgresql+psycopg://user@host/database``.
        clock: seconds since 1970.

    Raises:
        InputError: the address is not understood, or the database was written by a newer version.
        StoreUnavailable: it cannot be opened.
    """
    store = Store(url, clock=clock)
    try:
        store.upgrade()
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def check_there(url: str) -> None:
    """Refuse a SQLite file that is not there: to open it would make an empty one.

    Raises:
        InputError: as said.
    """
    parts = parse_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database and not Path(parts.database).is_file():
        raise InputError(f"database {parts.database}", "does not exist", "give the service's --out, --config or RECUR_API_OUT")


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.begin() as connection:
            yield connection
    except PoolTimeout as error:
        raise StoreUnavailable(f"the database was busy for {LOCK_WAIT_S:.0f} s") from error
    except (OperationalError, InterfaceError, InternalError) as error:
        raise unavailable("the database does not work", error.orig) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise unavailable("the database does not work", error.orig) from error
