"""The tables, as the newest migration leaves them (a test compares the two).

Columns beside those of the rows: ``sweeps.rank`` (the queue place of its first seed, to find what to prepare next),
``attempts.position`` (the seed's place in its sweep), ``attempts.val_bpb`` and ``attempts.total_bytes`` (copies out of the
result, so that a list need not open 600 results).

Long texts come last in a row: SQLite reads a row from its start, page by page.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from api.store.types import Json, Real, Words

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("sweep", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("profile", Words, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("baseline", Words),
    Column("pool", Words, nullable=False),
    Column("rank", Real, nullable=False),
    Column("created_at", Real, nullable=False),
    Column("created_by", Words),
    Column("request_id", Words, nullable=False),
    Column("prepared_at", Real),
    Column("fingerprint", Words),
    Column("dataset_root", Words),
    Column("note", Words, nullable=False),
    Column("cancelled_at", Real),
    Column("reported_at", Real),
    Column("record_path", Words),
    Column("warning", Words),
    Column("event_count", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("seeds", Json, nullable=False),
    Column("overrides", Json, nullable=False),
    Column("recipe", Json, nullable=False),
    Index("ix_sweeps_created_at", "created_at", "sweep"),
    Index("ix_sweeps_name", "name", "sweep"),
    Index("ix_sweeps_unprepared", "prepared_at", "cancelled_at", "rank", "sweep"),
    Index("ix_sweeps_unreported", "reported_at", "prepared_at", "sweep"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("sweep", Words, ForeignKey("sweeps.sweep"), primary_key=True),
    Column("seed", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("is_current", Boolean, nullable=False),
    Column("state", Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("job_id", Words, nullable=False),
    Column("pool", Words, nullable=False),
    Column("position", Integer, nullable=False),
    Column("rank", Real, nullable=False),
    Column("phase", Words),
    Column("ending", Words),
    Column("adopt_from", Integer),
    Column("lost", Integer, nullable=False),
    Column("preempted", Integer, nullable=False, server_default=text("0")),
    Column("queued_at", Real, nullable=False),
    Column("admitted_at", Real),
    Column("submitted_at", Real),
    Column("running_at", Real),
    Column("ended_at", Real),
    Column("val_bpb", Real),
    Column("total_bytes", BigInteger),
    Column("reason", Words),
    Column("warning", Words),
    Column("progress", Json, nullable=False),
    Column("result", Json),
    Column("gates", Json),
    UniqueConstraint("job_id"),
    Index(
        "uq_attempts_current", "sweep", "seed", unique=True, sqlite_where=text("is_current"), postgresql_where=text("is_current")
    ),
    Index("ix_attempts_sweep_state", "sweep", "is_current", "state"),
    Index("ix_attempts_queue", "state", "is_current", "pool", "rank", "sweep", "position", "queued_at"),
)

events = Table(
    "events",
    metadata,
    Column("sweep", Words, ForeignKey("sweeps.sweep"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Real, nullable=False),
    Column("kind", Words, nullable=False),
    Column("seed", BigInteger),
    Column("attempt", Integer),
    Column("data", Json, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("scope", Words, nullable=False),
    Column("sha256", Words, nullable=False),
    Column("created_at", Real, nullable=False),
    Column("revoked_at", Real),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("body_sha256", Words, nullable=False),
    Column("sweep", Words, ForeignKey("sweeps.sweep"), nullable=False),
    Column("kept_at", Real, nullable=False),
    Index("ix_idempotency_kept_at", "kept_at"),
)
