"""The encoder's choices: levels of rows and columns of a block, then shape and strength of a section's prior.

Rows and columns are fitted by Fisher scoring on the table's own likelihood. Their residual classes are chosen by cost: a
parabola of the likelihood around the fit plus the bits of the classes, so an axis whose spread is only noise gets none.
Nothing here has to be exact: the decoder reads only the integers that come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from recur.artifact.range_coder import tables
from recur.artifact.range_coder.spread import CLASS_LEVELS, GAIN_ONE, WIDTHS, Axis, LevelArray, Spread, believed
from recur.artifact.range_coder.stream import STRENGTHS, Codes, Contexts, chunks
from recur.artifact.range_coder.template import find_template

_FIT_SHAPE = 0
_ROUNDS = 3
_RIDGE = 1 / 256
"""Precision per level^2 of an effect's prior: one octave of spread."""
_LARGEST_STEP = 16.0
_MIN_SAMPLES = 8
"""An axis with fewer codes per row (column) gets no classes: the parabola does not hold there."""
_SHIFT_SIGMAS = 4
_LARGEST_CLASS, _LARGEST_GAIN = 40, 16
_SLAB = 1 << 18
_SHIFTS = range(-16, 17)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Additive levels of one axis with their Fisher information, both ``[n]``."""

    value: FloatArray
    information: FloatArray


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Levels of a block by maximum likelihood: base + rows + columns."""

    base: float
    rows: Effects
    cols: Effects


@dataclass(frozen=True, kw_only=True)
class Prior:
    """A section's prior: indices into `tables.SHAPES` and `stream.STRENGTHS`, and a shift of every base in levels."""

    shape: int
    strength: int
    shift: int


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums of score and information over the codes of every row and column."""

    row_score: FloatArray
    row_information: FloatArray
    col_score: FloatArray
    col_information: FloatArray


def fit_block(codes: Codes, row_hints: LevelArray, col_hints: LevelArray) -> Spread:
    """Choose the spread model of one block of int8 codes ``[R, C]``; hints in levels, ``[HINTS, R]`` and ``[HINTS, C]``."""
    if codes.size == 0:
        return Spread()
    spread = Spread(shift=_shift(codes))
    spread.template = find_template(spread.centred(codes, row_hints), row_hints[0])
    centred = spread.centred(codes, row_hints)
    fitted = _fit_effects(centred)
    spread.rows = _axis(fitted.rows, row_hints, samples=codes.shape[1])
    spread.cols = _axis(fitted.cols, col_hints, samples=codes.shape[0])
    row_terms, col_terms = spread.rows.terms(row_hints).astype(float), spread.cols.terms(col_hints).astype(float)
    base = fitted.base - float(np.mean(row_terms - fitted.rows.value) + np.mean(col_terms - fitted.cols.value))
    for _ in range(2):
        sums = _sums(centred, base + row_terms, col_terms)
        base += float(_step(sums.row_score.sum(), sums.row_information.sum()))
    spread.base = int(np.clip(np.rint(base), 0, tables.LEVELS - 1))
    return spread


def fit_prior(codes: Codes, contexts: Contexts) -> Prior:
    """Choose shape, shift and strength for a section's codes ``[n]`` with their levels ``[n]``."""
    cells = _histograms(codes, contexts)
    total = np.zeros((tables.LEVELS, tables.SYMBOLS))
    for where, count in cells:
        total.ravel()[where] += count
    shape, shift = _best_shape(total)
    levels = np.clip(np.arange(tables.LEVELS) + shift, 0, tables.LEVELS - 1)
    prior = tables.prior(shape)[levels] / float(1 << tables.PRIOR_BITS) + 2.0**-24
    return Prior(shape=shape, strength=_best_strength(cells, prior), shift=shift)


def _shift(codes: Codes) -> int:
    """The median, if it is more than the noise of codes about zero."""
    shift = int(np.median(codes))
    if shift == 0:
        return 0
    spread = float(np.abs(codes - float(shift)).mean())
    return shift if abs(shift) * sqrt(codes.size) > _SHIFT_SIGMAS * spread else 0


def _fit_effects(codes: Codes) -> Fitted:
    start = _moments(codes)
    base, row, col = start.base, start.rows.value, start.cols.value
    sums = _sums(codes, base + row, col)
    for _ in range(_ROUNDS):
        common = float(_step(sums.row_score.sum(), sums.row_information.sum()))
        base += common
        row = row + _step(sums.row_score, sums.row_information) - common
        col = col + _step(sums.col_score, sums.col_information) - common
        sums = _sums(codes, base + row, col)
    rows = Effects(value=row, information=sums.row_information)
    return Fitted(base=base, rows=rows, cols=Effects(value=col, information=sums.col_information))


def _moments(codes: Codes) -> Fitted:
    """A start from mean magnitudes, without information."""
    row_sum, col_sum = np.zeros(len(codes)), np.zeros(codes.shape[1])
    for cut in _slabs(codes):
        size = np.abs(codes[cut].astype(np.int16))
        row_sum[cut] = size.sum(axis=1)
        col_sum += size.sum(axis=0)
    mean = max(float(row_sum.sum()) / codes.size, 1e-9)
    rows, cols = (_start(total, mean, codes.size / len(total)) for total in (row_sum, col_sum))
    return Fitted(base=float(np.searchsorted(_mean_magnitudes(), mean)), rows=rows, cols=cols)


def _start(total: FloatArray, mean: float, samples: float) -> Effects:
    """Levels of sums of magnitudes against their mean; one sample of the mean is added, which keeps the log finite."""
    value = tables.LEVELS_PER_OCTAVE * np.log2((total + mean) / (mean * (samples + 1)))
    return Effects(value=value, information=np.zeros_like(value))


def _sums(codes: Codes, row: FloatArray, col: FloatArray) -> _Sums:
    """Score and information of all codes at levels ``row[:, None] + col[None, :]``."""
    score, information = _score_tables()
    row_score, row_information = np.zeros(len(row)), np.zeros(len(row))
    col_score, col_information = np.zeros(len(col)), np.zeros(len(col))
    rows, cols = np.rint(row).astype(np.int32), np.rint(col).astype(np.int32)
    for cut in _slabs(codes):
        level = np.clip(rows[cut, None] + cols[None, :], 0, tables.LEVELS - 1)
        J = information.take(level)
        level *= tables.SYMBOLS
        level += codes[cut]
        level += tables.SYMBOLS // 2
        U = score.take(level)
        row_score[cut], row_information[cut] = U.sum(axis=1), J.sum(axis=1)
        col_score += U.sum(axis=0)
        col_information += J.sum(axis=0)
    return _Sums(row_score=row_score, row_information=row_information, col_score=col_score, col_information=col_information)


def _step(score: FloatArray, information: FloatArray) -> FloatArray:
    """One step of Fisher scoring, held to an octave."""
    step: FloatArray = np.clip(score / (information + _RIDGE), -_LARGEST_STEP, _LARGEST_STEP)
    return step


def _axis(effects: Effects, hints: LevelArray, *, samples: int) -> Axis:
    """How much of the hints to believe, and the classes of what they leave."""
    gains = _gains(effects, hints)
    if samples < _MIN_SAMPLES:
        return Axis(gains=gains)
    rest = effects.value - believed(gains, hints)
    rest -= np.median(rest)  # not the mean: most rows then need class 0
    best, least = Axis(gains=gains), float((effects.information * rest**2).sum() / (2 * log(2)))
    for width in range(1, len(WIDTHS)):
        axis, cost = _classes(rest, effects.information, width)
        if cost < least:
            axis.gains, best, least = gains, axis, cost
    return best


def _gains(effects: Effects, hints: LevelArray) -> tuple[int, ...]:
    """Slopes of the effects on the hints, in eighths."""
    weight = effects.information + 1e-9
    centred = (hints - np.average(hints, axis=1, weights=weight)[:, None]) * np.sqrt(weight)
    slopes = np.linalg.lstsq(centred.T, effects.value * np.sqrt(weight))[0]
    return tuple(np.clip(np.rint(GAIN_ONE * slopes), -_LARGEST_GAIN, _LARGEST_GAIN).astype(int).tolist())


def _classes(rest: FloatArray, information: FloatArray, width: int) -> tuple[Axis, float]:
    """Classes of one width that cost least, with their cost in bits (of codes and of classes)."""
    step = WIDTHS[width]
    reach = int(min(np.abs(np.rint(rest / step)).max(), _LARGEST_CLASS))
    candidates = np.arange(-reach, reach + 1)
    loss = information[:, None] * (step * candidates[None, :] - rest[:, None]) ** 2 / (2 * log(2))
    bits = tables.log_prior_bits()[0][list(CLASS_LEVELS)][:, candidates + tables.SYMBOLS // 2]
    chosen = loss.argmin(axis=1)
    for _ in range(4):
        spread = int((bits @ np.bincount(chosen, minlength=len(candidates))).argmin())
        total = loss + bits[spread]
        chosen = total.argmin(axis=1)
    cost = float(total[np.arange(len(rest)), chosen].sum())
    return Axis(width=width, spread=spread, classes=candidates[chosen].astype(np.int8)), cost


def _histograms(codes: Codes, contexts: Contexts) -> list[tuple[NDArray[np.intp], FloatArray]]:
    """Per chunk of the stream: cells (level * SYMBOLS + symbol) that occur, and how often."""
    found = []
    for cut in chunks(codes.size):
        cells = contexts[cut].astype(np.int64) * tables.SYMBOLS + codes[cut] + tables.SYMBOLS // 2
        counts = np.bincount(cells, minlength=tables.LEVELS * tables.SYMBOLS)
        where = np.flatnonzero(counts)
        found.append((where, counts[where].astype(float)))
    return found


def _best_shape(total: FloatArray) -> tuple[int, int]:
    """Shape and shift with the least static cost of the histogram ``[LEVELS, SYMBOLS]``."""
    used = np.flatnonzero(total.sum(axis=1))
    shifted = np.clip(used[None, :] + np.array(_SHIFTS)[:, None], 0, tables.LEVELS - 1)
    least, best = np.inf, (0, 0)
    for shape, bits in enumerate(tables.log_prior_bits()):
        per_level = total[used] @ bits.T
        costs = per_level[np.arange(len(used))[None, :], shifted].sum(axis=1)
        at = int(costs.argmin())
        if costs[at] < least:
            least, best = float(costs[at]), (shape, _SHIFTS[at])
    return best


def _best_strength(cells: Sequence[tuple[NDArray[np.intp], FloatArray]], prior: FloatArray) -> int:
    """Strength with the least cost when the counts are learned chunk by chunk."""
    seen, strengths = np.zeros(prior.size), np.array(STRENGTHS, float)[:, None]
    bits = np.zeros(len(STRENGTHS))
    for where, count in cells:
        known = seen.reshape(prior.shape).sum(axis=1)[where // tables.SYMBOLS]
        p = (strengths * prior.ravel()[where] + seen[where]) / (strengths + known)
        bits -= np.log2(p) @ count
        seen[where] += count
    return int(bits.argmin())


def _slabs(codes: Codes) -> Iterator[slice]:
    """Cuts of whole rows of about `_SLAB` codes, which keeps temporaries small."""
    rows = max(1, _SLAB // max(codes.shape[1], 1))
    for start in range(0, len(codes), rows):
        yield slice(start, min(start + rows, len(codes)))


@lru_cache(maxsize=1)
def _mean_magnitudes() -> FloatArray:
    """Mean magnitude of a code at each level."""
    p = tables.prior(_FIT_SHAPE) / float(1 << tables.PRIOR_BITS)
    return p @ np.abs(np.arange(tables.SYMBOLS) - tables.SYMBOLS // 2)


@lru_cache(maxsize=1)
def _score_tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Derivative of the log likelihood by level, flat ``[LEVELS * SYMBOLS]``, and its variance ``[LEVELS]``."""
    nats = -tables.log_prior_bits()[_FIT_SHAPE] * log(2)
    score = np.gradient(nats, axis=0)
    p = np.exp(nats)
    information = (p * score**2).sum(axis=1) / p.sum(axis=1)
    return score.ravel().astype(np.float32), information.astype(np.float32)
