"""Migrations: from nothing, from every older file, with others starting too; never into a newer or a half-made database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from api.store import MigrationState, Store, attempts, events, idempotency, keys, migrate, open_store, sweeps
from api.store.rows import Pool
from api.store.tables import metadata
from cluster.failure import Budget, Cause
from recur.errors import InputError
from recur.record.result import State
from tests.api.postgres import Postgres
from tests.api.store import workers
from tests.api.store.kit import HOUR_S, current, drive, integrity, numbers, put

OLD = Path(__file__).parent / "old"
REVISIONS = sorted(p.name[1:5] for p in (migrate.SCRIPTS / "versions").glob("r*.py"))
SECOND = """\
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = {head!r}


def upgrade():
    op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))
    with op.batch_alter_table("sweeps", recreate="always" if op.get_bind().dialect.name == "sqlite" else "never") as batch:
        batch.add_column(sa.Column("colour", sa.Text, nullable=False, server_default="grey"))
    {then}
"""


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        yield server.database()


def test_migrations_make_exactly_the_tables_that_the_code_uses(empty: str) -> None:
    store = open_store(empty)
    with store.read() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        for name, table in metadata.tables.items():
            assert {i["name"] for i in inspect(c).get_indexes(name)} >= {i.name for i in table.indexes}
    assert store.migrations() == MigrationState(current=REVISIONS[-1], head=REVISIONS[-1])
    store.close()


def test_opening_again_changes_nothing(empty: str) -> None:
    open_store(empty).close()
    store = open_store(empty)
    put(store)
    store.close()
    store = open_store(empty)
    with store.read() as c:
        assert numbers(c, "a-1") == [1, 2]
    store.close()


def test_every_migration_has_a_file_from_before_the_next() -> None:
    assert [p.stem for p in sorted(OLD.glob("*.sql"))] == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_file_of_every_older_version_is_brought_forward_and_goes_on(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.executescript((OLD / f"{revision}.sql").read_text(encoding="utf-8"))
    connection.close()
    store = open_store(f"sqlite:///{path}")
    assert store.migrations().up_to_date
    with store.write() as c:
        old = sweeps.get(c, "old-1")
        assert old is not None and (old.name, old.seeds, old.pool, old.priority) == ("An old sweep", (1, 2, 3), Pool.CPU, 2)
        rows = attempts.history(c, "old-1")
        assert [(r.seed, r.attempt, r.state) for r in rows] == [
            (1, 1, State.SUCCEEDED),
            (2, 1, State.LOST),
            (2, 2, State.RUNNING),
            (3, 1, State.QUEUED),
        ]
        assert rows[0].result is not None and rows[0].result["total_bytes"] == 15_900_000
        if revision == "0001":  # it had one mark for "tried again" and "its own driver replaces it": neither is tried again
            assert min(rows[2].had.lost, rows[2].had.preempted) >= Budget().preempted
        before = numbers(c, "old-1")
        assert before == list(range(1, old.event_count + 1))
        assert [line.mean_val_bpb for line in sweeps.listed(c, limit=5, after=None, state="RUNNING", sort="name").lines] == [1.25]
        assert idempotency.lookup(c, "ann", "k1") is not None and keys.count(c) == 1
        assert attempts.move(c, rows[2], State.SUCCEEDED, now=9000.0) is not None
        (admitted,) = attempts.admit(c, Pool.CPU, 1, now=9001.0, limit=5)
        assert numbers(c, "old-1") == [*before, before[-1] + 1, before[-1] + 2]
        assert admitted.job_id == "old-1-s3-a1"
    store.close()
    assert integrity(path) == "ok"


def test_a_database_of_a_newer_version_is_refused_in_one_line(empty: str) -> None:
    store = open_store(empty)
    put(store)
    with store.write() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="'9999' is newer than this version of recur, which knows up to") as caught:
        open_store(empty)
    assert "\n" not in str(caught.value)
    with store.read() as c:
        assert sweeps.get(c, "a-1") is not None
    store.close()


@pytest.mark.service
def test_services_that_start_together_on_an_empty_database_all_come_up(empty: str) -> None:
    assert workers.finish([workers.start("open_only", empty) for _ in range(3)]) == ["True\n"] * 3
    store = open_store(empty)
    with store.read() as c:
        assert c.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    store.close()


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of migrations with room for one more; what `open_store` uses from its first use on."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for path in migrate.SCRIPTS.rglob("*.*"):
        if path.suffix in (".py", ".mako"):
            target = folder / path.relative_to(migrate.SCRIPTS)
            target.write_bytes(path.read_bytes())
    yield folder
    monkeypatch.undo()


def test_a_later_migration_keeps_rows_and_their_ties(empty: str, second: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rebuilds the table that others point to, which on SQLite drops the old one."""
    store = open_store(empty)
    put(store)
    store.close()
    (second / "versions" / "r9001.py").write_text(SECOND.format(head=REVISIONS[-1], then="pass"))
    monkeypatch.setattr(migrate, "SCRIPTS", second)
    store = open_store(empty)
    assert store.migrations() == MigrationState(current="9001", head="9001")
    with store.write() as c:
        assert c.execute(text("SELECT colour FROM sweeps")).scalars().all() == ["grey"]
        drive(c, current(c, "a-1", 1), State.RUNNING)
        assert numbers(c, "a-1") == [1, 2, 3, 4, 5]
    with pytest.raises(IntegrityError), store.write() as c:
        c.execute(text("DELETE FROM sweeps"))
    store.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty: str, second: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(empty)
    put(store)
    (second / "versions" / "r9001.py").write_text(SECOND.format(head=REVISIONS[-1], then="raise KeyError('half way')"))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "SCRIPTS", second)
        with pytest.raises(KeyError, match="half way"):
            open_store(empty)
    assert store.migrations().up_to_date
    with store.write() as c:
        assert "extra" not in inspect(c).get_table_names()
        drive(c, current(c, "a-1", 1), State.FAILED)
        attempts.retry(c, "a-1", 1, now=1.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
        assert events.since(c, "a-1", 0, 100)[-1].kind == "retry"
    store.close()


def make_old(path: Path, sql: Path) -> None:
    """How the files in ``old/`` were made: run once with the newest version, before a migration is added."""
    from api.store.rows import Scope
    from tests.api.store.kit import RESULT, new_sweep, prepare

    store: Store = open_store(f"sqlite:///{path}")
    with store.write() as c:
        sweeps.create(c, new_sweep("old-1", name="An old sweep", priority=2), ageing_s=HOUR_S)
        prepare(c, "old-1")
        row = drive(c, current(c, "old-1", 1), State.RUNNING)
        attempts.beat(c, row, phase="train", progress={"step": 3, "loss": 2.5}, now=1500.0, say=True)
        attempts.move(c, row, State.SUCCEEDED, now=2000.0, result=RESULT, gates=[{"name": "cap", "verdict": "pass"}])
        attempts.warn(c, drive(c, current(c, "old-1", 2), State.LOST), "gone", now=2100.0)
        again = attempts.retry(c, "old-1", 2, now=2200.0, ageing_s=HOUR_S, adopt_from=1, automatic=Cause.VANISHED)
        drive(c, again, State.RUNNING)
        keys.create(c, "ann", Scope.SUBMIT, now=1.0)
        idempotency.keep(c, "ann", "k1", "0" * 64, "old-1", now=1000.0)
    store.close()
    connection = sqlite3.connect(path)
    sql.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
    connection.close()
