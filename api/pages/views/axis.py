"""Linear axes of the server-made pictures: a value becomes a per cent of the picture's width, a range gets round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, per cent of the width, and what is written there."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from ``low`` to ``high`` between two places, per cent of the picture's width."""

    low: float
    high: float
    left: float = 0.0
    right: float = 100.0

    def at(self, value: float) -> float:
        """The value's place, kept inside the axis."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.left + min(max(share, 0.0), 1.0) * (self.right - self.left), 3)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.low <= value <= self.high

    def ticks(self, wanted: int, places: int | None = None) -> tuple[Tick, ...]:
        """About ``wanted`` round values on the axis; ``places`` after the point, else as many as their step needs."""
        step = round_step((self.high - self.low) / max(wanted, 1))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if places is None else places
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(Tick(x=self.at(i * step), text=f"{i * step:,.{decimals}f}") for i in range(first, last + 1))


def around(values: Sequence[float], margin: float, *, left: float = 0.0, right: float = 100.0) -> Axis:
    """An axis that holds the values with ``margin`` (a share of their span) on each side."""
    low, high = min(values), max(values)
    room = margin * (high - low) or 0.002 * abs(high) or 1.0
    return Axis(low=low - room, high=high + room, left=left, right=right)


def round_step(rough: float) -> float:
    """The next step of 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next((f * power for f in (1.0, 2.0, 5.0) if rough <= f * power * (1 + 1e-9)), 10.0 * power)
