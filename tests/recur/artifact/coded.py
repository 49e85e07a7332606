"""Blocks of codes for the tests of the range coder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recur.artifact.range_coder import CodeBlock, Geometry
from recur.artifact.range_coder.spread import HINTS

Codes = NDArray[np.int8]
SIGMA = 2.47


def block(codes: NDArray[np.generic], rows: Sequence[int] | None = None, cols: Sequence[int] | None = None) -> CodeBlock:
    row_hints, col_hints = hints(codes.shape[0], rows), hints(codes.shape[1], cols)
    return CodeBlock(codes=codes.astype(np.int8), geometry=Geometry(row_hints=row_hints, col_hints=col_hints))


def hints(size: int, *given: Sequence[int] | NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Hints of one axis: those given, zeros for the others."""
    told = [np.array(one) for one in given if one is not None]
    return np.stack([*told, *[np.zeros(size, np.int64)] * (HINTS - len(told))])


def gaussian(seed: int, rows: int, cols: int, *, row_spread: float = 0, col_spread: float = 0, sigma: float = SIGMA) -> Codes:
    draw = np.random.default_rng(seed)
    scale = sigma * np.exp(row_spread * draw.normal(size=(rows, 1)) + col_spread * draw.normal(size=(1, cols)))
    return np.clip(np.rint(scale * draw.normal(size=(rows, cols))), -128, 127).astype(np.int8)


def golden_blocks() -> list[CodeBlock]:
    """Codes of integer arithmetic, so that they never change."""
    r, c = np.arange(20)[:, None], np.arange(12)[None, :]
    noise = (r * 7919 + c * 104_729 + r * c * 31) % 5 - 2
    repeated = np.where(r % 2, (c * 37 % 61) - 30, (r * 29 + c * c * 17) % 71 - 35) + noise
    steps = (np.arange(30)[None, :] * 13) % 7 - 40
    wide = noise * (1 + (c * 5 % 4)) * (1 + (c * 7 % 3))
    told = Geometry(row_hints=hints(20), col_hints=np.stack([c[0] * 5 % 4, c[0] * 7 % 3]))
    return [
        block(noise * (1 + 3 * (r > 15))),
        block(repeated, [x % 3 for x in range(20)]),
        CodeBlock(codes=wide.astype(np.int8), geometry=told),
        block(steps),
    ]
