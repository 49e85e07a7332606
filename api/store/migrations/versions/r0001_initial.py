"""The first tables: sweeps, attempts, events, keys, idempotency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """To this migration."""
    _sweeps()
    _attempts()
    _events()
    _keys()
    _idempotency()


def _sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("sweep", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("profile", WORDS, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("baseline", WORDS),
        sa.Column("pool", WORDS, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("created_by", WORDS),
        sa.Column("request_id", WORDS, nullable=False),
        sa.Column("prepared_at", sa.Double),
        sa.Column("fingerprint", WORDS),
        sa.Column("dataset_root", WORDS),
        sa.Column("note", WORDS, nullable=False),
        sa.Column("cancelled_at", sa.Double),
        sa.Column("reported_at", sa.Double),
        sa.Column("record_path", WORDS),
        sa.Column("warning", WORDS),
        sa.Column("event_count", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("seeds", sa.Text, nullable=False),
        sa.Column("overrides", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sweep", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_created_at", "sweeps", ["created_at", "sweep"])
    op.create_index("ix_sweeps_name", "sweeps", ["name", "sweep"])
    op.create_index("ix_sweeps_unprepared", "sweeps", ["prepared_at", "cancelled_at", "rank", "sweep"])
    op.create_index("ix_sweeps_unreported", "sweeps", ["reported_at", "prepared_at", "sweep"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("sweep", WORDS, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("is_current", sa.Boolean, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("job_id", WORDS, nullable=False),
        sa.Column("pool", WORDS, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("phase", WORDS),
        sa.Column("ending", WORDS),
        sa.Column("adopt_from", sa.Integer),
        sa.Column("lost", sa.Integer, nullable=False),
        sa.Column("queued_at", sa.Double, nullable=False),
        sa.Column("admitted_at", sa.Double),
        sa.Column("submitted_at", sa.Double),
        sa.Column("running_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("val_bpb", sa.Double),
        sa.Column("total_bytes", sa.BigInteger),
        sa.Column("reason", WORDS),
        sa.Column("warning", WORDS),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("gates", sa.Text),
        sa.PrimaryKeyConstraint("sweep", "seed", "attempt", name="pk_attempts"),
        sa.ForeignKeyConstraint(["sweep"], ["sweeps.sweep"], name="fk_attempts_sweeps"),
        sa.UniqueConstraint("job_id", name="uq_attempts_job_id"),
    )
    only = sa.text("is_current")
    op.create_index("uq_attempts_current", "attempts", ["sweep", "seed"], unique=True, sqlite_where=only, postgresql_where=only)
    op.create_index("ix_attempts_sweep_state", "attempts", ["sweep", "is_current", "state"])
    op.create_index("ix_attempts_queue", "attempts", ["state", "is_current", "pool", "rank", "sweep", "position", "queued_at"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("sweep", WORDS, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sa.Column("attempt", sa.Integer),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sweep", "number", name="pk_events"),
        sa.ForeignKeyConstraint(["sweep"], ["sweeps.sweep"], name="fk_events_sweeps"),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("key_id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("scope", WORDS, nullable=False),
        sa.Column("sha256", WORDS, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.PrimaryKeyConstraint("key_id", name="pk_keys"),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("body_sha256", WORDS, nullable=False),
        sa.Column("sweep", WORDS, nullable=False),
        sa.Column("kept_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_idempotency"),
        sa.ForeignKeyConstraint(["sweep"], ["sweeps.sweep"], name="fk_idempotency_sweeps"),
    )
    op.create_index("ix_idempotency_kept_at", "idempotency", ["kept_at"])
