"""How many seeds a comparison needs, and what a number of seeds can tell apart.

The test is the one of `recur.record.stats.welch` with n seeds on both sides and one deviation: one-sided, alpha = .01,
df = 2 (n - 1), the margin inside the null; where the two deviations come out unequal, Welch has fewer degrees of freedom and
a little less power. ``resolved`` and ``needed`` ask for a chance of ``power`` to pass (noncentral
t). RULES B4 quotes another convention, the difference that passes *if exactly it is observed*, which is about an even
chance: that is ``just_significant``; at sd .0003 it gives B4's .0009 BPB for 3 + 3 seeds, .00055 for 5 + 5 and .0031 for
3 + 3 with the margin of .0022.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt

from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

from recur.errors import InputError

ALPHA = 0.01
POWER = 0.8
WANTED_BPB = 0.0005
"""About what one technique of the published lineage is worth; what `planned` asks the seeds for."""

_MOST_SEEDS = 10_000
_HOPELESS = -10.0


def power(difference: float, n: int, sd: float, *, margin: float = 0.0, alpha: float = ALPHA) -> float:
    """Chance that n seeds a side pass the test when new is truly lower by ``difference`` (unit of ``sd``).

    Raises:
        InputError: fewer than two seeds, a deviation that is not above zero, or a chance outside (0, 1).
    """
    _check(n, sd, alpha)
    return _chance((difference - margin) / (sd * sqrt(2 / n)), n, alpha)


def just_significant(n: int, sd: float, *, margin: float = 0.0, alpha: float = ALPHA) -> float:
    """The observed difference at which the test of n seeds a side is exactly at ``alpha``."""
    _check(n, sd, alpha)
    return margin + float(student.isf(alpha, 2 * (n - 1))) * sd * sqrt(2 / n)


def resolved(n: int, sd: float, *, margin: float = 0.0, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest true difference that n seeds a side find with a chance of ``power``."""
    _check(n, sd, alpha)
    _check_power(power, alpha)

    def missing(shift: float) -> float:
        return _chance(shift, n, alpha) - power

    return margin + _root(missing) * sd * sqrt(2 / n)


def needed(difference: float, sd: float, *, margin: float = 0.0, alpha: float = ALPHA, power: float = POWER) -> int:
    """Fewest seeds a side that find a true ``difference`` with a chance of ``power``.

    Raises:
        InputError: the difference is not above the margin, or so small that more than 10,000 seeds would be needed.
    """
    _check(2, sd, alpha)
    _check_power(power, alpha)
    if not difference > margin:
        raise InputError(f"difference={difference}", f"must be above the margin {margin}", "no number of seeds shows less")

    def enough(n: int) -> bool:
        return _chance((difference - margin) / (sd * sqrt(2 / n)), n, alpha) >= power

    if not enough(_MOST_SEEDS):
        told = f"difference={difference} at sd={sd}"
        raise InputError(told, f"needs more than {_MOST_SEEDS:,} seeds a side", "ask for a larger difference")
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def planned(n: int, sd: float, *, wanted: float = WANTED_BPB) -> str:
    """One line that says before a sweep starts what its seeds will be able to tell (BPB)."""
    convention = f"(p < {_short(ALPHA)}, power {_short(POWER)})"
    rest = f"{wanted:g} needs {_told_needed(wanted, sd)}"
    if n < 2:
        return f"1 seed a side has no deviation: nothing can be tested; at sd {sd:.3g} {rest} {convention}"
    return f"{n} seeds a side resolve {resolved(n, sd):.5f} BPB at sd {sd:.3g} {convention}; {rest}"


def _told_needed(difference: float, sd: float) -> str:
    """`needed` as text, however many that are: no deviation keeps a sweep from starting."""
    _check(2, sd, ALPHA)
    try:
        return str(needed(difference, sd))
    except InputError:
        return f"more than {_MOST_SEEDS:,}"


def _chance(shift: float, n: int, alpha: float) -> float:
    """Power at a difference of ``shift`` standard errors above the margin."""
    df = 2 * (n - 1)
    # far below the margin the chance is 0 in every digit, and scipy's series does not converge
    return float(nct.sf(student.isf(alpha, df), df, max(shift, _HOPELESS)))


def _root(function: Callable[[float], float]) -> float:
    high = 1.0
    while function(high) < 0:
        high *= 2
    return float(brentq(function, 0.0, high, xtol=1e-10))


def _check(n: int, sd: float, alpha: float) -> None:
    if n < 2:
        raise InputError(f"n={n}", "needs at least 2 seeds a side", "one seed has no deviation")
    if not (isfinite(sd) and sd > 0):
        raise InputError(f"sd={sd}", "must be finite and above zero", "take the deviation of an earlier sweep")
    _check_chance("alpha", alpha)


def _check_chance(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(f"{name}={value}", "must lie between 0 and 1", "the usual ones are alpha .01 and power .8")


def _check_power(power: float, alpha: float) -> None:
    if not alpha < power < 1:
        raise InputError(f"power={power}", f"must lie between alpha={alpha} and 1", "the usual one is .8")


def _short(value: float) -> str:
    return f"{value:g}".lstrip("0")
