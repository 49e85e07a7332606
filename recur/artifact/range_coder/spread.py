"""What is told of a block beside its codes: a level per row and column, as a few integers and classes of residuals.

level[r, c] = base + row_term[r] + col_term[c], held to the table; row_term = gains * hints + width * class, columns alike.
Levels are sixteenths of an octave (`tables`), hints eighths, gains eighths. A block's fields go out as differences to the
block before it, so that equal blocks cost almost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recur.artifact.range_coder import tables
from recur.artifact.range_coder.stream import Adaptive, Codes, Contexts, RangeDecoder, RangeEncoder, decode_stream, encode_stream
from recur.artifact.range_coder.template import Template
from recur.errors import ArtifactError

WIDTHS = (0, 1, 2, 4, 8, 16)
"""Class widths in sixteenths of an octave; 0 means no classes."""
GAIN_ONE = 8
HINTS = 2
"""Hints that every row and column has."""
CLASS_LEVELS = tuple(range(0, 112, 4))
"""Spreads that a set of classes may have, as levels of the table."""
_CLASS_STRENGTH = 32
_HINT_LIMIT = 1 << 12
_HINT_LEVELS = tables.LEVELS_PER_OCTAVE // 8
_FIELDS = 8 + 2 * HINTS
_FIELD_LEVEL, _TEMPLATE_LEVEL, _FIELD_STRENGTH = tables.LEVEL_OF_ONE, 128, 8
_REMEDY = "copy the artifact again from where it was written"

LevelArray = NDArray[np.int64]


@dataclass(kw_only=True)
class Axis:
    """Terms of one axis (rows or columns) of a block.

    Attributes:
        gains: eighths of each hint that are believed.
        width: index into `WIDTHS`.
        spread: index into `CLASS_LEVELS`, the spread of the classes.
        classes: int8 ``[n]``; empty with width 0.
    """

    gains: tuple[int, ...] = (0,) * HINTS
    width: int = 0
    spread: int = 0
    classes: Codes = field(default_factory=lambda: np.zeros(0, np.int8))

    def terms(self, hints: LevelArray) -> LevelArray:
        """Levels that the axis adds, int64 ``[n]``; hints in levels, ``[HINTS, n]``."""
        terms = believed(self.gains, hints)
        return terms + WIDTHS[self.width] * self.classes.astype(np.int64) if self.width else terms


@dataclass(kw_only=True)
class Spread:
    """The model of one block: ``code - shift - template`` has the spread that base, rows and columns give."""

    shift: int = 0
    base: int = tables.LEVEL_OF_ONE
    rows: Axis = field(default_factory=Axis)
    cols: Axis = field(default_factory=Axis)
    template: Template = field(default_factory=Template)

    def centred(self, codes: Codes, row_hints: LevelArray) -> Codes:
        """Codes ``[R, C]`` less shift and template, modulo 256."""
        moved = (codes - np.int8(self.shift)).astype(np.int8) if self.shift else codes
        return self.template.taken_off(moved, row_hints[0], sign=-1)

    def restored(self, centred: Codes, row_hints: LevelArray) -> Codes:
        """The inverse of `centred`."""
        return (self.template.taken_off(centred, row_hints[0], sign=1) + np.int8(self.shift)).astype(np.int8)

    def contexts(self, row_hints: LevelArray, col_hints: LevelArray) -> Contexts:
        """Level of every code, uint8 ``[rows, cols]``."""
        top = tables.LEVELS - 1
        rows = np.clip(self.base + self.rows.terms(row_hints), -(1 << 13), 1 << 13).astype(np.int16)
        cols = np.clip(self.cols.terms(col_hints), -(1 << 13), 1 << 13).astype(np.int16)
        levels = rows[:, None] + cols[None, :]
        return np.clip(levels, 0, top, out=levels).astype(np.uint8)


def levels_of(hints: ArrayLike) -> LevelArray:
    """Hints in eighths of an octave, ``[HINTS, n]``, as levels about their medians, held to +-512 octaves."""
    levels = np.asarray(hints, np.int64).clip(-_HINT_LIMIT, _HINT_LIMIT) * _HINT_LEVELS
    return levels - np.sort(levels)[:, levels.shape[1] // 2, None] if levels.size else levels


def believed(gains: Sequence[int], hints: LevelArray) -> LevelArray:
    """What the gains let through of the hints, rounded down."""
    return (np.array(gains) @ hints) >> 3


def encode_spreads(encoder: RangeEncoder, spreads: Sequence[Spread]) -> None:
    """Append fields and classes of all blocks."""
    fields = np.array([_fields(s) for s in [Spread(), *spreads]], np.int64).reshape(-1, _FIELDS)
    moved = np.diff(fields, axis=0).astype(np.int8)
    encode_stream(encoder, moved.ravel(), _field_contexts(len(spreads)), _field_model())
    axes = [axis for s in spreads for axis in (s.rows, s.cols)]
    encode_stream(encoder, _joined([a.classes for a in axes]), _class_contexts(axes), _class_model())
    for part in ([s.template.codes for s in spreads], [s.template.gains for s in spreads]):
        encode_stream(encoder, joined := _joined(part), np.zeros(joined.size, np.uint8), _template_model())


def decode_spreads(decoder: RangeDecoder, shapes: Sequence[tuple[int, int]]) -> list[Spread]:
    """The inverse of `encode_spreads` for blocks of these numbers of rows and columns.

    Raises:
        ArtifactError: a field out of its range.
        AssertionError: from the library, for data that fits no symbol.
    """
    moved = decode_stream(decoder, _field_contexts(len(shapes)), _field_model()).reshape(-1, _FIELDS)
    start = np.array([_fields(Spread())], np.int64)
    fields = np.concatenate([start, moved.astype(np.int64)]).cumsum(axis=0)[1:].astype(np.int8)
    spreads = [_spread([int(x) for x in row], *shape) for row, shape in zip(fields, shapes, strict=True)]
    axes = [axis for s in spreads for axis in (s.rows, s.cols)]
    for axis, size in zip(axes, [n for s in shapes for n in s], strict=True):
        axis.classes = np.zeros(size if axis.width else 0, np.int8)
    classes = decode_stream(decoder, _class_contexts(axes), _class_model())
    _deal(classes, [a.classes for a in axes])
    for part in ([s.template.codes for s in spreads], [s.template.gains for s in spreads]):
        _deal(decode_stream(decoder, np.zeros(sum(p.size for p in part), np.uint8), _template_model()), part)
    return spreads


def _fields(s: Spread) -> list[int]:
    axes = [x for axis in (s.rows, s.cols) for x in (*axis.gains, axis.width, axis.spread)]
    return [s.shift, s.base - tables.SYMBOLS // 2, *axes, int(s.template.codes.size > 0), s.template.amplitude]


def _spread(fields: list[int], rows: int, cols: int) -> Spread:
    shift, base, *axes, has_template, amplitude = fields
    row_axis, col_axis = (
        Axis(gains=tuple(axis[:HINTS]), width=axis[-2], spread=axis[-1])
        for axis in (axes[: len(axes) // 2], axes[len(axes) // 2 :])
    )
    found = Spread(shift=shift, base=base + tables.SYMBOLS // 2, rows=row_axis, cols=col_axis)
    for name, value, size in (
        ("base", found.base, tables.LEVELS),
        ("row width", row_axis.width, len(WIDTHS)),
        ("column width", col_axis.width, len(WIDTHS)),
        ("row spread", row_axis.spread, len(CLASS_LEVELS)),
        ("column spread", col_axis.spread, len(CLASS_LEVELS)),
        ("template flag", has_template, 2),
    ):
        if not 0 <= value < size:
            raise ArtifactError(f"range-coded {name}={value}", f"must lie in [0, {size})", _REMEDY)
    if has_template:
        found.template = Template(amplitude=amplitude, codes=np.zeros(cols, np.int8), gains=np.zeros(rows, np.int8))
    return found


def _field_contexts(blocks: int) -> Contexts:
    return np.tile(np.arange(_FIELDS, dtype=np.uint8), blocks)


def _class_contexts(axes: Sequence[Axis]) -> Contexts:
    return np.repeat(np.array([a.spread for a in axes], np.uint8), [a.classes.size for a in axes])


def _field_model() -> Adaptive:
    """Differences of fields: about zero, and with a quarter of the mass anywhere."""
    return Adaptive(np.repeat(_wide(_FIELD_LEVEL)[None], _FIELDS, axis=0), _FIELD_STRENGTH)


def _class_model() -> Adaptive:
    return Adaptive(tables.prior(0)[list(CLASS_LEVELS)], _CLASS_STRENGTH)


def _template_model() -> Adaptive:
    return Adaptive(_wide(_TEMPLATE_LEVEL)[None], _FIELD_STRENGTH)


def _wide(level: int) -> tables.IntArray:
    """A heavy-tailed prior of one level with a quarter of its mass spread evenly."""
    flat = (1 << tables.PRIOR_BITS) // tables.SYMBOLS
    row: tables.IntArray = (3 * tables.prior(len(tables.SHAPES) - 1)[level] + flat) >> 2
    return row


def _joined(parts: Sequence[Codes]) -> Codes:
    return np.concatenate([np.zeros(0, np.int8), *parts])


def _deal(values: Codes, parts: Sequence[Codes]) -> None:
    """Fill the parts, in order, with the values."""
    done = 0
    for part in parts:
        part[:] = values[done : done + part.size]
        done += part.size
