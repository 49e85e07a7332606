"""Migrations (Alembic), run at start: forward only, in one transaction, one process at a time.

They run on a connection without foreign keys, since SQLite changes a table by copying it and dropping the old one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from recur.errors import InputError

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = threading.Lock()  # Alembic's `context` and `op` are global to the process


@dataclass(frozen=True, kw_only=True)
class MigrationState:
    """Migration of the database (None: empty) and the newest one known here."""

    current: str | None
    head: str

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is to be done."""
        return self.current == self.head


def migration_state(c: Connection) -> MigrationState:
    """Where the database stands."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config(c)).get_current_head()
    return MigrationState(current=MigrationContext.configure(c).get_current_revision(), head=str(head))


def upgrade(c: Connection, to: str = "head") -> None:
    """Bring the database forward within the caller's transaction.

    Args:
        c: a writing connection without foreign keys.
        to: a migration; tests stop at older ones.

    Raises:
        InputError: the database is at a migration that is not known here.
    """
    from alembic import command

    with _ONE_AT_A_TIME:
        state = migration_state(c)
        _refuse_newer(c, state)
        if state.current == to or (to == "head" and state.up_to_date):
            return
        command.upgrade(_config(c), to)
    if c.dialect.name == "sqlite" and (broken := c.execute(text("PRAGMA foreign_key_check")).first()):
        raise InputError(f"database row {tuple(broken)}", "points nowhere after the migration", "restore the last backup")


def _refuse_newer(c: Connection, state: MigrationState) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config(c)).walk_revisions()}
    if state.current is not None and state.current not in known:
        raise InputError(
            f"database at migration {state.current!r}",
            f"is newer than this version of recur, which knows up to {state.head!r}",
            "install the version that wrote it, or restore a backup from before the upgrade",
        )


def _config(c: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = c
    return config
