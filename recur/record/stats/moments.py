"""Mean, spread and range of one number over seeds.

Deviations are sample deviations (divisor n - 1) unless named otherwise; with one value there is none. Sums are exact
(`statistics`), so the order of the seeds does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean, pstdev, stdev

from recur.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Spread:
    """n values in one unit: their mean, deviations and range."""

    n: int
    mean: float
    sd: float | None
    sd_population: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, sample and population deviation and range of ``values``; None for no values.

    One value that is not finite makes every figure NaN: it is shown as missing, never left out of the mean.
    """
    if not values:
        return None
    if not all(isfinite(v) for v in values):
        return Spread(n=len(values), mean=nan, sd=nan, sd_population=nan, low=nan, high=nan)
    return Spread(
        n=len(values),
        mean=fmean(values),
        sd=stdev(values) if len(values) > 1 else None,
        sd_population=pstdev(values),
        low=min(values),
        high=max(values),
    )


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Number of seeds, mean and sample deviation: all that a test needs of one side, and all that some lines publish."""

    n: int
    mean: float
    sd: float


def moments(values: Sequence[float], name: str = "values") -> Moments:
    """n, mean and sample deviation of at least two finite values.

    Raises:
        InputError: fewer than two values, or one that is not finite; ``name`` says which.
    """
    found = spread(values)
    if found is None or found.sd is None:
        raise InputError(f"{name} has n={len(values)}", "needs at least 2 seeds", "train more seeds, or report the score alone")
    if not isfinite(found.mean):
        raise InputError(f"{name}={list(values)}", "must be finite", "leave out failed seeds and say so")
    return Moments(n=found.n, mean=found.mean, sd=found.sd)
