"""Component ``artifact.fit = "solve"``: one multiplier on all steps so that the total lands just below the cap. Never prunes.

Source: TECHNIQUES C3 (1), QUANTIZATION 4 (1): a finer or coarser step costs about a sixteenth of what pruning costs a byte.
The entropy estimate gives the shape of bytes over multiplier, each real compression its height; from the second one on the
ratio of the two is interpolated. Deterministic: the next multiplier is a function of the former trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable

GOAL_COMPRESSIONS = 4
MAX_COMPRESSIONS = 16
"""Trials before the best one that fits is taken: only a model of a few kilobytes, whose bytes jump, needs that many."""
_BISECTIONS = 80
_NUDGE = 2.0**-14
"""A multiplier that was tried already is moved by this: bytes jump by a few from one rounding to the next."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """log2 of the multiplier: at ``low`` the steps are as fine as the code range allows, at ``high`` all codes are zero."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One real compression.

    Attributes:
        log2_multiplier: of all steps.
        coded_bytes: bytes of the coded codes.
        total_bytes: the whole container plus the program's code bytes.
    """

    log2_multiplier: float
    coded_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Where the total must land, inclusive: ``[low, high]``."""

    low: int
    high: int

    @classmethod
    def of(cls, cfg: ArtifactConfig) -> Budget:
        """``[fill_frac * cap, cap - 1]``; for a tiny cap at least one value."""
        high = cfg.cap_bytes - 1
        return cls(low=min(high, math.ceil(cfg.fill_frac * cfg.cap_bytes)), high=high)

    def holds(self, total_bytes: int) -> bool:
        return self.low <= total_bytes <= self.high

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True, kw_only=True)
class Solved:
    """The trial that counts, and all of them in order.

    ``in_window`` is False where even the finest steps leave room, or no trial hit the budget's window.
    """

    best: Trial
    trials: tuple[Trial, ...]
    in_window: bool


def solve(
    estimate_bytes: Callable[[float], float],
    compress: Callable[[float], Trial],
    *,
    budget: Budget,
    fixed_bytes: int,
    search: Range,
) -> Solved:
    """Find the multiplier.

    Args:
        estimate_bytes: entropy of the codes in bytes at a log2 multiplier; falls as it rises.
        compress: a real compression at a log2 multiplier; the last one asked for is not always the one that counts.
        budget: where the total must land.
        fixed_bytes: what does not change: sections without codes, and the program's code.
        search: multipliers worth trying.

    Raises:
        BudgetUnreachable: what is fixed, or the coarsest steps, exceed the budget; names the smallest size.
    """
    if fixed_bytes > budget.high:
        raise BudgetUnreachable(
            f"{fixed_bytes} bytes are fixed (program code, index and unquantized sections): the smallest size reached; "
            f"the budget ends at {budget.high} bytes"
        )
    trials: list[Trial] = []
    while len(trials) < MAX_COMPRESSIONS:
        log2_multiplier = next_multiplier(trials, estimate_bytes, budget=budget, fixed_bytes=fixed_bytes, search=search)
        if any(t.log2_multiplier == log2_multiplier for t in trials):
            break
        trials.append(compress(log2_multiplier))
        if budget.holds(trials[-1].total_bytes):
            return Solved(best=trials[-1], trials=tuple(trials), in_window=True)
    fitting = [t for t in trials if t.total_bytes <= budget.high]
    if not fitting:
        smallest = min(t.total_bytes for t in trials)
        raise BudgetUnreachable(
            f"{smallest} bytes is the smallest size reached (of it fixed: {fixed_bytes}); the budget ends at {budget.high} bytes"
        )
    return Solved(best=max(fitting, key=lambda t: t.total_bytes), trials=tuple(trials), in_window=False)


def next_multiplier(
    trials: Sequence[Trial],
    estimate_bytes: Callable[[float], float],
    *,
    budget: Budget,
    fixed_bytes: int,
    search: Range,
) -> float:
    """log2 of the multiplier to try next.

    Bytes of the codes are modelled as ``ratio * estimate``; the ratio is 1 before any trial, the trial's own after one, and
    linear in log2 of the multiplier through the two nearest trials on either side of the budget after more.
    """
    if not trials:
        return _falling_root(lambda m: fixed_bytes + estimate_bytes(m), budget.middle, search)
    near = _nearest(trials, budget)
    overhead = near[0].total_bytes - near[0].coded_bytes
    ratios = [t.coded_bytes / max(estimate_bytes(t.log2_multiplier), 1.0) for t in near]
    slope = 0.0
    if len(near) == 2 and near[0].log2_multiplier != near[1].log2_multiplier:
        slope = (ratios[1] - ratios[0]) / (near[1].log2_multiplier - near[0].log2_multiplier)

    def modelled(m: float) -> float:
        return overhead + (ratios[0] + slope * (m - near[0].log2_multiplier)) * estimate_bytes(m)

    root = _falling_root(modelled, budget.middle, _bracket(trials, budget, search))
    known = {t.log2_multiplier for t in trials}
    if root in known and root not in (search.low, search.high):
        root += _NUDGE * (-1) ** len(trials) * len(trials)
    return root


def _nearest(trials: Sequence[Trial], budget: Budget) -> list[Trial]:
    """One or two trials: the nearest to the budget first, then the nearest on its other side, or else the next nearest."""
    ordered = sorted(trials, key=lambda t: abs(t.total_bytes - budget.middle))
    first = ordered[0]
    other_side = [t for t in ordered[1:] if (t.total_bytes > budget.middle) != (first.total_bytes > budget.middle)]
    return [first, *(other_side or ordered[1:])[:1]]


def _bracket(trials: Sequence[Trial], budget: Budget, search: Range) -> Range:
    """Multipliers between which the budget must lie: of the smallest total above it and the largest below it."""
    above = [t.log2_multiplier for t in trials if t.total_bytes > budget.high]
    below = [t.log2_multiplier for t in trials if t.total_bytes < budget.low]
    low, high = max(above, default=search.low), min(below, default=search.high)
    return Range(low=low, high=high) if low < high else search


def _falling_root(function: Callable[[float], float], value: float, search: Range) -> float:
    """Where a falling function takes ``value``, by bisection; the end of the range where it does not."""
    low, high = search.low, search.high
    if function(low) <= value:
        return low
    if function(high) >= value:
        return high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return (low + high) / 2
