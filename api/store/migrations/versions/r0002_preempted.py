"""Retries after a node went away are counted apart from those after a death."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this migration; where a driver of its own replaces what is lost, none of both kinds is left to the service."""
    op.add_column("attempts", sa.Column("preempted", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE attempts SET lost = 1073741824, preempted = 1073741824 WHERE lost > 0 AND is_current")
