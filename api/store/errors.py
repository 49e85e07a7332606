"""What can go wrong in the store, beside bad input."""

from __future__ import annotations

import errno
import sqlite3

from recur.errors import RecurError

# Refused writes: the disk is full, a quota or a file size limit is reached, SQLite's shared memory file cannot grow.
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_OS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_POSTGRES_FULL = "53100"


class StoreUnavailable(RecurError):
    """The database is away, damaged, full or was locked for too long; nothing of the transaction was kept.

    Attributes:
        full: the disk takes no more.
    """

    def __init__(self, why: str, *, full: bool = False) -> None:
        super().__init__(why)
        self.full = full


class UnknownSweep(RecurError):
    """There is no such sweep."""


class ForbiddenMove(RecurError):
    """An attempt's state does not allow the one asked for; terminal states allow none."""


class RetryRefused(RecurError):
    """The seed cannot be tried again now: it still runs, or its sweep was cancelled while nobody asked for a retry."""


def unavailable(what: str, cause: BaseException | None) -> StoreUnavailable:
    """`StoreUnavailable` for an error of a driver or the system, in one line.

    Args:
        what: what could not be done.
        cause: the error.
    """
    full = (
        getattr(cause, "sqlite_errorcode", None) in _SQLITE_FULL
        or getattr(cause, "sqlstate", None) == _POSTGRES_FULL
        or (isinstance(cause, OSError) and cause.errno in _OS_FULL)
    )
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return StoreUnavailable(f"{what}: {'the disk is full: ' if full else ''}{lines[0]}", full=full)
