"""Streams of symbols, each with a context: adaptive probabilities over the range coder of `constriction`.

A stream is cut into chunks. In a chunk the symbols of one context stand together (stable sort, the decoder knows the
contexts) and go through one call of the library with one table: prior * strength + what the context has seen in earlier
chunks. Tables are integers that sum to 2^24 - 256, which the library takes as they are (it scales by exactly 1.0 and
gives every symbol one unit more), so no rounding decides a probability.
Source: range coding after Martin (1979); the library is constriction 0.5 (Bamler 2022), its `stream.queue`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import constriction
import numpy as np
from numpy.typing import NDArray

from recur.artifact.range_coder.tables import PRIOR_BITS, SYMBOLS, IntArray

Categorical: TypeAlias = constriction.stream.model.Categorical
RangeEncoder: TypeAlias = constriction.stream.queue.RangeEncoder
RangeDecoder: TypeAlias = constriction.stream.queue.RangeDecoder

FIRST_CHUNK, LARGEST_CHUNK = 16, 1 << 17
STRENGTHS = tuple(1 << k for k in range(1, 17))
"""How many seen symbols a prior is worth."""
_MASS = (1 << 24) - SYMBOLS
_COUNT_BITS = 16
_COUNT_LIMIT = 1 << 21

Codes = NDArray[np.int8]
Contexts = NDArray[np.uint8]


@dataclass(frozen=True)
class _Group:
    """Symbols of one context in a chunk: ``order[start:stop]`` are their positions."""

    start: int
    stop: int
    model: Categorical


class Adaptive:
    """Counts of what each context has seen, beside its prior."""

    def __init__(self, prior: IntArray, strength: int) -> None:
        """Start with nothing seen.

        Args:
            prior: ``[contexts, SYMBOLS]``, rows summing to about ``2^PRIOR_BITS``.
            strength: how many symbols the prior is worth, a power of two up to ``2^16``.
        """
        self.prior, self.strength = prior, strength
        self.seen = np.zeros(prior.shape, np.int64)

    def masses(self, contexts: NDArray[np.intp]) -> IntArray:
        """Tables of some contexts, int64 ``[n, SYMBOLS]``; every row sums to ``2^24 - SYMBOLS``."""
        known = (self.prior[contexts] * self.strength) >> (PRIOR_BITS - _COUNT_BITS)
        mass: IntArray = known + (self.seen[contexts] << _COUNT_BITS)
        mass = mass * _MASS // mass.sum(axis=1, keepdims=True)
        mass[np.arange(len(mass)), mass.argmax(axis=1)] += _MASS - mass.sum(axis=1)
        return mass

    def learn(self, contexts: Contexts, codes: Codes) -> None:
        """Count a chunk; counts are halved before they could overflow."""
        cells = contexts.astype(np.int64) * SYMBOLS + codes + SYMBOLS // 2
        self.seen += np.bincount(cells, minlength=self.seen.size).reshape(self.seen.shape)
        full = self.seen.sum(axis=1) >= _COUNT_LIMIT
        self.seen[full] >>= 1

    def groups(self, order: NDArray[np.intp], contexts: Contexts) -> Iterator[_Group]:
        """The chunk's contexts in ascending order, each with its model."""
        counts = np.bincount(contexts, minlength=len(self.prior))
        present = np.flatnonzero(counts)
        stops = np.cumsum(counts[present])
        for mass, stop, size in zip(self.masses(present).astype(np.float64), stops, counts[present], strict=True):
            yield _Group(int(stop - size), int(stop), Categorical(mass, perfect=False))


def chunks(size: int) -> Iterator[slice]:
    """Cuts of a stream: small at first, where each symbol teaches most, then by halves of what is done."""
    done = 0
    while done < size:
        step = min(max(done // 2, FIRST_CHUNK), LARGEST_CHUNK, size - done)
        yield slice(done, done + step)
        done += step


def encode_stream(encoder: RangeEncoder, codes: Codes, contexts: Contexts, model: Adaptive) -> None:
    """Append a stream: int8 codes ``[n]`` with their contexts ``[n]`` (rows of the model's prior)."""
    for cut in chunks(codes.size):
        order = np.argsort(contexts[cut], kind="stable")
        symbols = codes[cut][order].astype(np.int32) + SYMBOLS // 2
        for group in model.groups(order, contexts[cut]):
            encoder.encode(symbols[group.start : group.stop], group.model)
        model.learn(contexts[cut], codes[cut])


def decode_stream(decoder: RangeDecoder, contexts: Contexts, model: Adaptive) -> Codes:
    """The inverse of `encode_stream` with a model in the same state.

    Raises:
        AssertionError: the library's way to say that the data fits no symbol.
    """
    codes = np.empty(contexts.size, np.int8)
    for cut in chunks(codes.size):
        order = np.argsort(contexts[cut], kind="stable")
        sorted_codes = np.empty(order.size, np.int8)
        for group in model.groups(order, contexts[cut]):
            symbols = decoder.decode(group.model, group.stop - group.start)
            sorted_codes[group.start : group.stop] = symbols - SYMBOLS // 2
        codes[cut][order] = sorted_codes
        model.learn(contexts[cut], codes[cut])
    return codes
