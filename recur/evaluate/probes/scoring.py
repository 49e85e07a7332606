"""What the probes judge, and how far two scores of the same thing may lie apart.

A scoring takes a stream ``[n + 1]`` and gives the nats of its ``n`` targets, float64, position ``p`` for token ``p + 1``; NaN
where a target is not scored. Two forwards of the same shapes give the same bits up to a changed token, in fp32 and in bf16:
a sum over a row does not depend on the other rows, and a masked key adds an exact zero. On the CPU that is what the probes
measure (a movement of exactly 0, in other batches too); CUDA was not measured. So the tolerance is small; a scoring that does
not repeat itself (another kernel for another batch, a backward with atomic adds) widens it by what was measured, up to a
ceiling that depends on the precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from recur.evaluate.intervals import Interval
from recur.evaluate.windows import IntArray

Nats = npt.NDArray[np.float64]
Scoring = Callable[[IntArray], Nats]
Claimed = Callable[[IntArray, int], Nats]
"""Log-probabilities [V] that the scoring's own distribution gives the target at a position of a stream."""
Precision = Literal["fp32", "bf16"]

FLOOR_NATS = 1e-5
"""Five times the last bit of a float32 loss of 16 to 32 nats, which is 2e-6."""
NOISE_FACTOR = 4.0
"""The largest of many comparisons against the largest of a few repeats."""
RECHECKS = 3
"""A movement counts if it comes again as often: bf16 kernels on a CPU were seen to differ from themselves too rarely for the
repeats to show it (docs/log.md); what a scoring does on purpose it does again."""
CEILING_NATS: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.25}
"""bf16 logits of 8 to 16 are 1/16 apart, so another order of sums may move a loss by that."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How well a scoring repeats itself.

    Attributes:
        nats: largest difference between scorings of one stream.
        tolerance_nats: what a comparison of two scorings may differ by.
        findings: why nothing can be judged: scores that are not finite, or differ too much from one time to the next.
    """

    nats: float
    tolerance_nats: float
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One evaluation of a stream, as executed.

    Attributes:
        nats: float64 [n], by position; NaN where nothing was scored, the last one where something was scored again.
        times: int64 [n], how often each position went into the sum.
        intervals: the evaluation's own log.
    """

    nats: Nats
    times: IntArray
    intervals: tuple[Interval, ...]


class Traced(Protocol):
    """A scoring that shows what it did."""

    @property
    def claimed(self) -> Claimed | None:
        """The distribution behind it, where it can be had."""

    def trace(self, tokens: IntArray) -> Trace: ...


def spread(low: int, high: int, count: int, rng: np.random.Generator) -> list[int]:
    """One number at random in each of ``count`` equal stretches of ``[low, high)``; fewer where it holds fewer."""
    edges = np.linspace(low, high, min(count, high - low) + 1).astype(np.int64)
    return [int(rng.integers(a, b)) for a, b in pairwise(edges)]


def largest_difference(a: Nats, b: Nats) -> float:
    """Largest absolute difference; infinite where only one of both is a number, 0 where neither is."""
    lone = np.isnan(a) != np.isnan(b)
    if lone.any():
        return float("inf")
    apart = np.subtract(a, b, out=np.zeros_like(a), where=(a != b) & ~np.isnan(a))
    return float(np.abs(apart).max(initial=0.0))


def measure_noise(scoring: Scoring, tokens: IntArray, first: Nats, *, repeats: int, precision: Precision) -> Noise:
    """Score ``tokens`` another ``repeats`` times and compare with ``first``, an earlier scoring of them."""
    noise = max((largest_difference(scoring(tokens), first) for _ in range(repeats)), default=0.0)
    ceiling = CEILING_NATS[precision]
    findings = []
    if np.isinf(first).any():
        findings.append(f"{int(np.isinf(first).sum())} scores are not finite")
    if NOISE_FACTOR * noise > ceiling:
        findings.append(
            f"scores of one stream differ by {noise:.3g} nats from one time to the next; at most {ceiling / NOISE_FACTOR:g}"
        )
    return Noise(nats=noise, tolerance_nats=min(max(FLOOR_NATS, NOISE_FACTOR * noise), ceiling), findings=tuple(findings))
