"""The store on both databases: every test that takes ``store`` or ``url`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from api.store import Store, open_store
from api.store.tables import metadata
from tests.api.postgres import Postgres


@pytest.fixture(scope="session")
def postgres_store_url(postgres: Postgres) -> str:
    """A database with the tables, shared by the tests that come with an emptied one."""
    url = postgres.database()
    open_store(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database; the PostgreSQL one has its tables already."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    found = request.getfixturevalue("postgres_store_url")
    store = Store(found)
    with store.write() as c:
        c.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
    store.close()
    return str(found)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open, empty store."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An open, empty SQLite store."""
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()
