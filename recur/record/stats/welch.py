"""Welch's two-sample test of two arms' seeds, with the challenge's margin, and the interval of one arm's mean.

A score is better when it is lower. The rule of the challenge asks for evidence at p < .01 *that the margin was reached*:
the margin lies inside the null hypothesis "new is not lower than old by more than the margin". Source: B. L. Welch, "The
generalization of Student's problem when several different population variances are involved", Biometrika 34, 1947.

Loads scipy; `recur.record.stats` itself does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from scipy.stats import t as student

from recur.errors import InputError
from recur.record.stats.moments import Moments, moments


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends of a two-sided confidence interval."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Welch:
    """One test. ``difference`` is mean new - mean old (below zero: new is better), in the unit of the values.

    ``t`` = (difference + margin) / se. ``p_one_sided`` is for "new is lower than old by more than ``margin``",
    ``p_two_sided`` for "the difference is not -margin". t, df and both p are None where neither arm has any deviation:
    equal values say nothing about the spread, so there is no test.
    """

    n_new: int
    n_old: int
    difference: float
    margin: float
    se: float
    t: float | None
    df: float | None
    p_one_sided: float | None
    p_two_sided: float | None

    def interval(self, confidence: float = 0.95) -> Interval:
        """Two-sided interval of ``difference``; it does not depend on the margin. A point where ``se`` is 0."""
        half = 0.0 if self.df is None else _quantile(confidence, self.df) * self.se
        return Interval(low=self.difference - half, high=self.difference + half, confidence=confidence)


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's two-sided interval of the mean of ``values``.

    Raises:
        InputError: fewer than two values, one that is not finite, or a confidence outside (0, 1).
    """
    found = moments(values)
    half = _quantile(confidence, found.n - 1) * found.sd / sqrt(found.n)
    return Interval(low=found.mean - half, high=found.mean + half, confidence=confidence)


def welch(new: Sequence[float], old: Sequence[float], *, margin: float = 0.0) -> Welch:
    """Test of the seeds' values of two arms.

    Args:
        new: values of the arm for which something is claimed; lower is better.
        old: values of the arm it is compared with.
        margin: how much lower new must be, in the unit of the values, not below zero.

    Raises:
        InputError: fewer than two values on a side, a value that is not finite, or a margin below zero.
    """
    return welch_of(moments(new, "new"), moments(old, "old"), margin=margin)


def welch_of(new: Moments, old: Moments, *, margin: float = 0.0) -> Welch:
    """`welch` from what is published of an arm when its seeds are not.

    Raises:
        InputError: fewer than two values on a side, or a margin below zero.
    """
    if not (isfinite(margin) and margin >= 0):
        raise InputError(f"margin={margin}", "must be finite and not below zero", "give how much lower new must be")
    for name, arm in (("new", new), ("old", old)):
        if arm.n < 2:
            raise InputError(f"{name} has n={arm.n}", "needs at least 2 seeds", "train more seeds, or report the score alone")
    difference = new.mean - old.mean
    parts = (new.sd**2 / new.n, old.sd**2 / old.n)
    se = sqrt(sum(parts))
    t = df = one = two = None
    if se > 0:
        # shares, not squares of squares: deviations near 1e-160 would underflow
        shares = (parts[0] / sum(parts), parts[1] / sum(parts))
        df = 1 / (shares[0] ** 2 / (new.n - 1) + shares[1] ** 2 / (old.n - 1))
        t = (difference + margin) / se
        one, two = float(student.cdf(t, df)), float(2 * student.sf(abs(t), df))
    return Welch(
        n_new=new.n, n_old=old.n, difference=difference, margin=margin, se=se, t=t, df=df, p_one_sided=one, p_two_sided=two
    )


def _quantile(confidence: float, df: float) -> float:
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}", "must lie between 0 and 1", "95 percent is 0.95")
    return float(student.ppf((1 + confidence) / 2, df))
