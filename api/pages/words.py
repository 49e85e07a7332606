"""Numbers, times and states as the pages write them.

Pure functions; an absent or infinite value is an en dash, so that a table never shows "None" or "nan".
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

ABSENT = "–"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400

STATE_WORDS = {
    "QUEUED": "queued",
    "SUBMITTING": "submitting",
    "SUBMITTED": "submitted",
    "RUNNING": "running",
    "CANCELLING": "cancelling",
    "SUCCEEDED": "succeeded",
    "INVALID": "invalid",
    "CANCELLED": "cancelled",
    "TIMED_OUT": "timed out",
    "LOST": "lost",
    "FAILED": "failed",
}
"""How a state is written; the order is that of a sweep's life."""


def number(value: float | int | None, places: int = 0) -> str:
    """``12345.678`` as ``12,345.68`` with two places."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.{places}f}"


def signed(value: float | None, places: int = 5) -> str:
    """As `number` with a plus or a true minus."""
    if value is None or not math.isfinite(value):
        return ABSENT
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return sign + number(abs(value), places)


def probability(value: float | None) -> str:
    """A p value: three places, or a power of ten where it is small."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def percent(value: float | None, places: int = 1) -> str:
    """A share of 1 as ``12.3 %``."""
    return ABSENT if value is None or not math.isfinite(value) else f"{100 * value:.{places}f} %"


def seconds(value: float | None) -> str:
    """A duration: ``8.1 s``, ``4 min 05 s``, ``2 h 03 min``, ``3 d 4 h``."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value < MINUTE_S:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < HOUR_S:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // 60:02d} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(value: datetime | float | None) -> str:
    """A time in UTC to the second, ``2026-11-24 15:03:18``."""
    found = _utc(value)
    return ABSENT if found is None else found.strftime("%Y-%m-%d %H:%M:%S")


def short_moment(value: datetime | float | None) -> str:
    """A time in UTC without its year and seconds, ``24 Nov 15:03``."""
    found = _utc(value)
    return ABSENT if found is None else f"{found.day} {found:%b %H:%M}"


def iso(value: datetime | float | None) -> str:
    """A time for the ``datetime`` attribute."""
    found = _utc(value)
    return "" if found is None else found.strftime("%Y-%m-%dT%H:%M:%SZ")


def state_word(state: str) -> str:
    """How a state is written; an unknown one in lower case."""
    return STATE_WORDS.get(state, state.lower().replace("_", " "))


def plural(count: int, word: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def plain(value: Any) -> str:
    """A JSON value in a table: text bare, whole numbers with separators, everything else as JSON."""
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ABSENT
    return json.dumps(value, ensure_ascii=False)


def sentence(text: str) -> str:
    """With a full stop, and a capital where it begins with a word (an id keeps its letters)."""
    text = text.strip()
    first = text.split(" ", 1)[0]
    return (text[:1].upper() + text[1:] if first.isalpha() else text) + ("" if text.endswith((".", "!", "?")) else ".")


def _utc(value: datetime | float | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value, UTC)
