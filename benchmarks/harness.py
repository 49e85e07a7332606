"""One bar: the reference's algorithm restated beside ours, interleaved in one run, with a check that the results agree.

A bar's module (`benchmarks.bars`) makes `Bar`s; `python -m benchmarks` runs each module in a process of its own. Noise: a
pair is measured `PAIRS` times, the reference first; where the reference's own times spread more than `SPREAD_FRAC` and
the threshold is inside the interval that the pairs leave for the median ratio, all is measured once more, and then the bar is
SKIPPED: no success (exit code 3).
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

PAIRS = 5
ATTEMPTS = 2
SPREAD_FRAC = 0.15
DOUBT = 1 / 16
"""Chance that the median of all pairs that could be measured lies outside the interval (`median_interval`)."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What is compared, and what has to come out.

    Attributes:
        name: for people, with the sizes that matter.
        reference: the reference's algorithm, restated; its value goes to ``agreement``.
        ours: the product's.
        agreement: how far the two results are apart, as text; raises AssertionError where they do not agree.
        threshold: the ratio reference / ours, in seconds of ``clock``, must be at least this.
        goal: a ratio worth having, or None.
        pairs: how often both are measured.
        clock: seconds that count: of this process's CPU, or on the wall where threads are what is measured.
    """

    name: str
    reference: Callable[[], Any]
    ours: Callable[[], Any]
    agreement: Callable[[Any, Any], str]
    threshold: float
    goal: float | None = None
    pairs: int = PAIRS
    clock: Callable[[], float] = time.process_time


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of a bar; ``ratio`` is of the medians, ``least`` and ``most`` of single pairs.

    A ``"times"`` is how often faster ours is, at least the threshold; a ``"share"`` is ours of the reference's, at most it.
    """

    name: str
    verdict: Literal["met", "MISSED", "DISAGREES", "SKIPPED"]
    ratio: float
    least: float
    most: float
    spread_frac: float
    agreement: str
    kind: Literal["times", "share"]
    threshold: float
    goal: float | None
    reference_s: float
    ours_s: float
    note: str = ""


def most_runs(pairs: int = PAIRS) -> int:
    """How often each side of a bar may run: its pairs and one that is not counted, in every attempt."""
    return ATTEMPTS * (pairs + 1)


def measure(bar: Bar) -> Outcome:
    """Run a bar; a noisy one `ATTEMPTS` times."""
    for _ in range(ATTEMPTS):
        theirs, mine, agreement = _pairs(bar)
        spread = (max(theirs) - min(theirs)) / statistics.median(theirs)
        ratios = [t / m for t, m in zip(theirs, mine, strict=True)]
        low, high = median_interval(ratios)
        told = spread <= SPREAD_FRAC or not low < bar.threshold <= high
        if told or agreement is None:
            break
    reference_s, ours_s = statistics.median(theirs), statistics.median(mine)
    ratio = reference_s / ours_s
    if agreement is None:
        verdict: Literal["met", "MISSED", "DISAGREES", "SKIPPED"] = "DISAGREES"
    elif not told:
        verdict = "SKIPPED"
    else:
        verdict = "met" if ratio >= bar.threshold else "MISSED"
    return Outcome(
        name=bar.name,
        verdict=verdict,
        ratio=ratio,
        least=min(ratios),
        most=max(ratios),
        spread_frac=spread,
        agreement=agreement or "the results differ",
        kind="times",
        threshold=bar.threshold,
        goal=bar.goal,
        reference_s=reference_s,
        ours_s=ours_s,
    )


def median_interval(ratios: list[float]) -> tuple[float, float]:
    """Between which two of the single pairs the median lies but for `DOUBT`, whatever the noise's distribution.

    That it lies below the k-th smallest of n has the chance that fewer than k of n fair coins fall heads. Of up to five pairs
    it is the smallest and the largest.
    """
    n, ordered, drop, outside = len(ratios), sorted(ratios), 0, 2.0 ** (1 - len(ratios))
    while drop < n // 2 and (outside := outside + 2.0 ** (1 - n) * math.comb(n, drop + 1)) <= DOUBT:
        drop += 1
    return ordered[drop], ordered[n - 1 - drop]


def judged(
    *, name: str, ratio: float, threshold: float, kind: Literal["times", "share"], agreement: str, note: str = ""
) -> Outcome:
    """An outcome of something that is not a pair of timings: bytes, memory, a makespan."""
    met = ratio <= threshold if kind == "share" else ratio >= threshold
    return Outcome(
        name=name,
        verdict="met" if met else "MISSED",
        ratio=ratio,
        least=ratio,
        most=ratio,
        spread_frac=0.0,
        agreement=agreement,
        kind=kind,
        threshold=threshold,
        goal=None,
        reference_s=0.0,
        ours_s=0.0,
        note=note,
    )


def _pairs(bar: Bar) -> tuple[list[float], list[float], str | None]:
    """Times of both sides, and how the results of the last pair agree; None where they do not. One pair is not counted."""
    theirs: list[float] = []
    mine: list[float] = []
    agreement: str | None = None
    for _ in range(bar.pairs + 1):
        reference_s, reference = _timed(bar.reference, bar.clock)
        ours_s, ours = _timed(bar.ours, bar.clock)
        try:
            agreement = bar.agreement(reference, ours)
        except AssertionError as error:
            print(f"{bar.name}: {error}", flush=True)
            return [reference_s], [ours_s], None
        theirs.append(reference_s)
        mine.append(ours_s)
    return theirs[1:], mine[1:], agreement


def _timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    gc.collect()
    start_s = clock()
    value = work()
    return max(clock() - start_s, 1e-9), value
