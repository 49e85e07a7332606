"""The flip test: change x_t and all that follow, and no target before t may change its log-probability.

Source: RULES B1 (C1), B2 row 8. The whole stream is scored both times, so a leak through state that windows of a batch
share (one delta fitted on all of them, weights trained on later chunks) shows as well as one inside a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recur.evaluate.probes.scoring import RECHECKS, Nats, Noise, Scoring, largest_difference, spread
from recur.evaluate.windows import IntArray


@dataclass(frozen=True, kw_only=True)
class Causality:
    """What the flips moved.

    Attributes:
        cuts: how many flips were made.
        compared: log-probabilities before the cut that were compared, over all flips.
        largest_movement_nats: the largest change among them; infinite where a target was scored only once.
        findings: one per flip that moved more than the tolerance, at most three.
    """

    cuts: int
    compared: int
    largest_movement_nats: float
    findings: tuple[str, ...]


SHOWN = 3
"""Findings that are kept; further movements are not looked at again."""
FIRST_CUT = 2
"""At least one target lies before it."""


def flipped(tokens: IntArray, cut: int, vocab_size: int, rng: np.random.Generator) -> IntArray:
    """The stream with another token at ``cut`` and everywhere after, half of them any, half drawn from the stream's own."""
    size = len(tokens) - cut
    drawn = np.where(rng.random(size) < 0.5, rng.integers(0, vocab_size, size), rng.choice(tokens, size))
    same = drawn == tokens[cut:]
    drawn[same] = (drawn[same] + rng.integers(1, vocab_size, int(same.sum()))) % vocab_size
    return np.concatenate([tokens[:cut], drawn])


def probe_causality(
    scoring: Scoring, tokens: IntArray, vocab_size: int, first: Nats, noise: Noise, *, cuts: int, seed: int
) -> Causality:
    """Flip ``tokens`` at ``cuts`` places and compare what lies before each.

    Args:
        scoring: judged as executed.
        tokens: int64 [n + 1], n at least 3.
        first: `scoring` of `tokens`.
        noise: its tolerance, see `recur.evaluate.probes.scoring.measure_noise`.
        seed: of the places and the new tokens.
    """
    rng = np.random.default_rng(seed)
    findings: list[str] = []
    compared, largest = 0, 0.0
    chosen = spread(FIRST_CUT, len(tokens), cuts, rng)
    for cut in chosen:
        before = cut - 1  # position p has target p + 1, so those up to cut - 2 have their targets before the cut
        changed = flipped(tokens, cut, vocab_size, rng)
        after = scoring(changed)
        movement = largest_difference(first[:before], after[:before])
        for _ in range(RECHECKS if len(findings) < SHOWN else 0):
            if not movement <= noise.tolerance_nats:
                again = largest_difference(scoring(tokens)[:before], scoring(changed)[:before])
                movement = min(movement, again)
        compared += int(np.isfinite(first[:before]).sum())
        largest = max(largest, movement)
        if not movement <= noise.tolerance_nats:
            place = _first_moved(first[:before], after[:before], noise.tolerance_nats)
            findings.append(f"a flip from token {cut} on moved target {place + 1} by up to {movement:.3g} nats")
    return Causality(cuts=len(chosen), compared=compared, largest_movement_nats=largest, findings=tuple(findings[:SHOWN]))


def _first_moved(a: Nats, b: Nats, tolerance: float) -> int:
    return int(np.flatnonzero(~((np.abs(a - b) <= tolerance) | (np.isnan(a) & np.isnan(b))))[0])
