"""One line of the table: something done with a seed, and whether an alarm must be raised each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """Attributes:
    name: what is planted, or which honest evaluation runs.
    planted: whether every seed must raise the alarm, or none.
    alarm: whether this seed raises it.
    """

    name: str
    planted: bool
    alarm: Callable[[int], bool]
