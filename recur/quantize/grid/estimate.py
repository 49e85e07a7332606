"""Bytes of the codes before there are any: the entropy of Gaussian codes at each step, by one table.

A row or column element of spread sigma and step s has codes with the entropy of a Gaussian of sigma / s steps, rounded. The
estimate is the sum over all elements, kept as a histogram over log2(sigma / s), so that another multiplier only shifts it.
It is good to about a per cent; the fit corrects it by what the coder really made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, xlogy
from torch import Tensor

from recur.quantize.fitting.solve import Range
from recur.quantize.grid.steps import LogSteps, spread

BINS_PER_OCTAVE = 16
LOWEST, HIGHEST = -48, 48
"""Octaves of sigma / step that the histogram covers; the ends collect what lies beyond."""
FINEST_OCTAVES = 4.75
"""log2 of the largest sigma / step: the guard keeps max|row| within 120 steps, and a row's largest is about 4.5 sigma."""
COARSEST_OCTAVES = 5.0
"""Where sigma is 1/32 of a step, every code is zero."""


@dataclass(frozen=True, kw_only=True)
class SpreadHistogram:
    """How many elements have which log2(sigma / step) at multiplier 1.

    Attributes:
        counts: ``[(HIGHEST - LOWEST) * BINS_PER_OCTAVE + 1]`` float64.
    """

    counts: NDArray[np.float64]

    @classmethod
    def empty(cls) -> SpreadHistogram:
        """No elements."""
        return cls(counts=np.zeros((HIGHEST - LOWEST) * BINS_PER_OCTAVE + 1))

    def bits(self, log2_multiplier: float) -> float:
        """Entropy of all codes in bits when every step is multiplied by ``2 ** log2_multiplier``."""
        filled = self.counts > 0
        log2_ratio = np.minimum(centres()[filled] - log2_multiplier, FINEST_OCTAVES)
        return float(self.counts[filled] @ gaussian_code_bits(log2_ratio))

    def support(self) -> Range:
        """Multipliers between codes at the end of their range everywhere and zero codes everywhere; one without elements."""
        filled = centres()[self.counts > 0]
        if not len(filled):
            return Range(low=0.0, high=0.0)
        return Range(low=float(filled[0]) - FINEST_OCTAVES, high=float(filled[-1]) + COARSEST_OCTAVES)

    def __add__(self, other: SpreadHistogram) -> SpreadHistogram:
        return SpreadHistogram(counts=self.counts + other.counts)


def total(histograms: Iterable[SpreadHistogram]) -> SpreadHistogram:
    """The sum of histograms."""
    return sum(histograms, start=SpreadHistogram.empty())


def centres() -> NDArray[np.float64]:
    """log2(sigma / step) of each bin."""
    return np.arange(LOWEST * BINS_PER_OCTAVE, HIGHEST * BINS_PER_OCTAVE + 1) / BINS_PER_OCTAVE


def histogram(W_RC: Tensor, steps: LogSteps) -> SpreadHistogram:
    """The histogram of one weight: its rows' and columns' spreads against its steps.

    An element's spread is taken to be row times column over the whole, all root mean squares.
    """
    row_R = spread(W_RC).log2() - steps.rows
    column_C = spread(W_RC.t())
    column_C = (column_C / column_C.square().mean().sqrt()).log2() - steps.columns
    low, high = LOWEST * BINS_PER_OCTAVE, HIGHEST * BINS_PER_OCTAVE
    bins_RC = ((row_R[:, None] + column_C[None]) * BINS_PER_OCTAVE).round().clamp(low, high).to(torch.int64) - low
    counts = torch.bincount(bins_RC.flatten(), minlength=high - low + 1)
    return SpreadHistogram(counts=counts.double().numpy())


def gaussian_code_bits(log2_ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of ``round(x)``, x normal with standard deviation ``2 ** log2_ratio``; above 2^4 the limit formula."""
    sigma = 2.0 ** np.clip(log2_ratio, -16, 40)
    limit = np.log2(sigma) + 0.5 * np.log2(2 * np.pi * np.e)
    small = sigma[:, None] <= 16
    edges = np.arange(-160, 161) - 0.5
    cdf = ndtr(edges[None] / np.where(small, sigma[:, None], 1.0))
    mass = np.diff(cdf, axis=1)
    exact = -xlogy(mass, mass).sum(axis=1) / np.log(2)
    result: NDArray[np.float64] = np.where(sigma <= 16, exact, limit)
    return result
