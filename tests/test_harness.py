"""What a benchmark's times come to: met, missed, or too noisy to tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest

from benchmarks.harness import ATTEMPTS, Bar, measure, median_interval

QUIET, NOISY = (10.0, 10.1, 9.9), (10.0, 14.0, 9.0)


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark collects garbage before each timing, which takes long in a process that holds all tests."""
    monkeypatch.setattr("benchmarks.harness.gc.collect", lambda: 0)


def bar(reference: Sequence[float], ours: Sequence[float], threshold: float, *, agree: bool = True) -> Bar:
    """A bar whose clock says that its two sides took so many seconds, pair by pair, in every attempt."""

    def ticks() -> Iterator[float]:
        now = 0.0
        for _ in range(ATTEMPTS):
            for theirs, mine in zip((1.0, *reference), (1.0, *ours), strict=True):  # the first pair is not counted
                for seconds in (theirs, mine):
                    yield now
                    now += seconds
                    yield now

    def agreement(theirs: None, mine: None) -> str:
        assert agree, "differ"
        return "the same"

    clock = ticks()
    return Bar(
        name="b",
        reference=lambda: None,
        ours=lambda: None,
        agreement=agreement,
        threshold=threshold,
        pairs=len(reference),
        clock=lambda: next(clock),
    )


@pytest.mark.parametrize(
    ("reference", "threshold", "verdict"),
    [
        (QUIET, 4.0, "met"),
        (QUIET, 6.0, "MISSED"),
        (NOISY, 4.0, "met"),  # every pair is above
        (NOISY, 5.0, "SKIPPED"),
        (NOISY, 8.0, "MISSED"),  # every pair is below
    ],
)
def test_noise_leaves_open_only_what_lies_within_it(reference: Sequence[float], threshold: float, verdict: str) -> None:
    assert measure(bar(reference, (2.0, 2.0, 2.0), threshold)).verdict == verdict


@pytest.mark.parametrize(("pairs", "dropped"), [(2, 0), (5, 0), (7, 0), (8, 0), (9, 1), (12, 2)])
def test_the_medians_interval_leaves_out_what_few_pairs_say(pairs: int, dropped: int) -> None:
    """Dropping k + 1 at each end would leave the median outside more often than one time in sixteen."""
    low, high = median_interval([float(n) for n in reversed(range(pairs))])
    assert (low, high) == (dropped, pairs - 1 - dropped)

    def outside(k: int) -> float:
        return float(sum(math.comb(pairs, n) for n in range(k + 1)) * 2.0 ** (1 - pairs))

    assert outside(dropped + 1) > 1 / 16
    assert pairs < 5 or outside(dropped) <= 1 / 16


def test_one_slow_pair_of_many_leaves_nothing_open() -> None:
    reference = (10.0, 14.0, 9.0, 10.0, 10.0, 10.1, 9.9, 10.0, 8.0)
    assert measure(bar(reference, (2.0,) * 9, 4.5)).verdict == "met"


def test_results_that_differ_are_no_success_however_fast() -> None:
    assert measure(bar(QUIET, (1.0, 1.0, 1.0), 2.0, agree=False)).verdict == "DISAGREES"
