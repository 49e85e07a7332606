"""What can go wrong in the store, beside bad input."""

from __future__ import annotations

from recur.errors import RecurError


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
