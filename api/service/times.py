"""Moments: seconds since 1970 in the store, UTC dates in the interface."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def instant(at: float) -> datetime: ...
@overload
def instant(at: None) -> None: ...
@overload
def instant(at: float | None) -> datetime | None: ...
def instant(at: float | None) -> datetime | None:
    """The moment in UTC, to the millisecond."""
    return None if at is None else datetime.fromtimestamp(round(at, 3), UTC)
