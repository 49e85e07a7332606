"""The interval log: what was scored with which weights, and what was trained on, in the order it happened.

It is the evidence for "score before update, every token once" (RULES B1 C3, C4; B2 row 10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from recur.evaluate.windows import WindowPlan


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Positions ``[start, stop)`` of the stream that were scored or trained on.

    Attributes:
        kind: ``score``, or ``adapt`` (test-time training).
        start, stop: positions; position ``p`` has target token ``p + 1``.
        version: ``score``: version of the weights that scored; ``adapt``: version that the update made.
    """

    kind: Literal["score", "adapt"]
    start: int
    stop: int
    version: int


Log = Callable[[Interval], None]


def ignore(_: Interval) -> None:
    """A log that keeps nothing."""


def scored_intervals(plan: WindowPlan, version: int) -> list[Interval]:
    """What scoring ``plan`` covers, neighbouring windows joined."""
    if not len(plan):
        return []
    firsts, stops = plan.firsts, plan.stops
    breaks = np.flatnonzero(firsts[1:] != stops[:-1]) + 1
    low, high = np.r_[0, breaks], np.r_[breaks, len(plan)] - 1
    return [
        Interval(kind="score", start=int(firsts[a]), stop=int(stops[b]), version=version) for a, b in zip(low, high, strict=True)
    ]


def join(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same log with neighbouring ``score`` intervals of one version joined."""
    joined: list[Interval] = []
    for one in intervals:
        last = joined[-1] if joined else None
        if last and last.kind == one.kind == "score" and last.version == one.version and last.stop == one.start:
            joined[-1] = replace(last, stop=one.stop)
        else:
            joined.append(one)
    return tuple(joined)
