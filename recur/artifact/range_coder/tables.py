"""Probability tables of the range coder, in integer arithmetic only, so that every machine has the same.

Provides the prior of a code given its spread: a Gaussian rounded to integers, or a mixture of such Gaussians whose
spreads are binomially distributed (a stand-in for a log-normal), which has heavier tails.
Levels are spreads in sixteenths of an octave: sigma = 2^(level/16 - 3), from an eighth of a step to 2^7.9 steps.
Source: the Gaussian's values come from the recurrence g[i+1] = g[i] r[i], r[i+1] = r[i] exp(-h^2), its integral from the
trapezoid rule; only the constant exp(-h^2) needs a series. Relative error of the table's large entries: below 1e-5.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

SYMBOLS = 256
"""Symbol ``j`` is the code ``j - 128``."""
LEVELS = 176
LEVELS_PER_OCTAVE = 16
LEVEL_OF_ONE = 48
"""The level of sigma = 1 step."""
PRIOR_BITS = 24
FIXED_BITS = 64
SHAPES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Smoothings of a prior, each by (1, 2, 1)/4 over a quarter of an octave: std of ln sigma is 0.12 sqrt(shape)."""

_GRID = 256
_GRID_END = 9 * _GRID
_TABLE_BITS = 36
_MIX_LEVELS = 4
_INVERSE_BITS = 24

IntArray = NDArray[np.int64]


@lru_cache(maxsize=1)
def log_prior_bits() -> NDArray[np.float64]:
    """Cost in bits of each symbol, ``[len(SHAPES), LEVELS, SYMBOLS]``; for the encoder's choices only, not exact."""
    floor = 1 << PRIOR_BITS
    costs = [np.log2(floor + SYMBOLS) - np.log2(prior(shape) + 1.0) for shape in range(len(SHAPES))]
    return np.stack(costs)


@lru_cache(maxsize=len(SHAPES))
def prior(shape: int) -> IntArray:
    """Prior of one shape.

    Args:
        shape: index into `SHAPES`.

    Returns:
        int64 ``[LEVELS, SYMBOLS]``; rows sum to about ``2^PRIOR_BITS``.
    """
    if SHAPES[shape] == 0:
        return _normalised(_gaussian())
    previous = SHAPES[shape - 1]
    mixed = _mixture(previous)
    for _ in range(SHAPES[shape] - previous):
        mixed = _smoothed(mixed)
    return _normalised(mixed)


@lru_cache(maxsize=len(SHAPES))
def _mixture(times: int) -> IntArray:
    mixed = _gaussian()
    for _ in range(times):
        mixed = _smoothed(mixed)
    return mixed


def _smoothed(table: IntArray) -> IntArray:
    """One binomial smoothing over levels; the end levels are repeated."""
    padded = np.concatenate([table[:1].repeat(_MIX_LEVELS, 0), table, table[-1:].repeat(_MIX_LEVELS, 0)])
    smoothed: IntArray = (padded[: -2 * _MIX_LEVELS] + 2 * table + padded[2 * _MIX_LEVELS :]) >> 2
    return smoothed


def _normalised(table: IntArray) -> IntArray:
    """Rows scaled to sum to about ``2^PRIOR_BITS``; an entry is at most 2^36."""
    scaled: IntArray = (table << (PRIOR_BITS - 1)) // (table.sum(axis=1, keepdims=True) >> 1)
    return scaled


@lru_cache(maxsize=1)
def _gaussian() -> IntArray:
    """Mass of each symbol under a rounded Gaussian, ``[LEVELS, SYMBOLS]``; what lies beyond +-128 is left out."""
    edges = 2 * np.arange(SYMBOLS // 2 + 1, dtype=np.int64) + 1
    position = edges[None, :] * _inverse_spreads()[:, None] * (_GRID // 2)
    whole = np.minimum(position >> _INVERSE_BITS, _GRID_END - 1)
    part = np.where(whole < _GRID_END - 1, position & ((1 << _INVERSE_BITS) - 1), 0) >> (_INVERSE_BITS - 16)
    half = _half_integral()
    inside = half[whole] + (((half[whole + 1] - half[whole]) * part) >> 16)
    positive = np.diff(inside, axis=1)
    return np.concatenate([positive[:, ::-1], 2 * inside[:, :1], positive[:, :-1]], axis=1)


@lru_cache(maxsize=1)
def _half_integral() -> IntArray:
    """Integral of the normal density from 0 to i/256, scaled so that the whole half is 2^35."""
    one = 1 << FIXED_BITS
    decay = _exp_minus(_GRID * _GRID)
    ratio = isqrt(decay << FIXED_BITS)
    value, values = one, [one]
    for _ in range(_GRID_END):
        value = value * ratio >> FIXED_BITS
        ratio = ratio * decay >> FIXED_BITS
        values.append(value)
    total, integral = 0, [0]
    for left, right in pairwise(values):
        total += left + right
        integral.append(total)
    return np.array([(x << (_TABLE_BITS - 1)) // total for x in integral], np.int64)


def _exp_minus(divisor: int) -> int:
    """exp(-1/divisor) with 64 fractional bits."""
    term, total, order = 1 << FIXED_BITS, 0, 0
    while term:
        total += term if order % 2 == 0 else -term
        order += 1
        term //= order * divisor
    return total


def _inverse_spreads() -> IntArray:
    """1/sigma of every level with 24 fractional bits."""
    sixteenth = sixteenth_of_an_octave()
    inverse, found = 1 << (FIXED_BITS + LEVEL_OF_ONE // LEVELS_PER_OCTAVE), []
    for _ in range(LEVELS):
        found.append(inverse >> (FIXED_BITS - _INVERSE_BITS))
        inverse = (inverse << FIXED_BITS) // sixteenth
    return np.array(found, np.int64)


def sixteenth_of_an_octave() -> int:
    """2^(1/16) with `FIXED_BITS` fractional bits."""
    root = 2 << FIXED_BITS
    for _ in range(4):
        root = isqrt(root << FIXED_BITS)
    return root
