"""A consistent copy of the SQLite database while the service runs."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from api.store.engine import LOCK_WAIT_S
from api.store.errors import unavailable
from api.store.store import Store
from recur.errors import InputError


def backup(store: Store, path: Path) -> None:
    """Copy the database as it is at one moment (``VACUUM INTO``); writers go on meanwhile.

    The copy appears under its name when it is whole and on disk. `open_store` opens it like the original.

    Args:
        store: a SQLite store.
        path: the copy; must not be there yet.

    Raises:
        InputError: ``path`` exists, or the store is not SQLite (there ``pg_dump`` does this).
        StoreUnavailable: the copy could not be written, e.g. the disk is full.
    """
    if store.file is None:
        raise InputError(f"backup of {store.url}", "works for SQLite only", "use pg_dump")
    if path.exists():
        raise InputError(f"backup path {path}", "exists", "choose another name")
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        _copy(store.file, part)
        part.rename(path)
        _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise unavailable(f"cannot write the backup {path}", error) from error


def _copy(source: Path, target: Path) -> None:
    connection = sqlite3.connect(source, timeout=LOCK_WAIT_S, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    _sync(target)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
