"""Whether the probabilities that a scoring realises for one target, over the whole vocabulary, sum to 1.

Source: RULES B1 (C2), B2 row 9: 1 within 1e-4. For a position the target is set to every token in turn, with the same past,
and each time the whole stream is scored, so a gate that looks at the target shows wherever it sits. A vocabulary too
large for that is sampled: the tokens that carry most mass and random others are scored, each must have the probability
that the distribution claims for it, and the rest of the sum is the claimed mass of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recur.evaluate.probes.scoring import RECHECKS, Claimed, Nats, Noise, Scoring
from recur.evaluate.windows import IntArray

SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """What the realised probabilities sum to.

    Attributes:
        positions: positions summed.
        candidates: targets scored at each; the vocabulary's size where none was left out.
        largest_error: largest distance of a sum from 1.
        tolerance: what it may be.
        findings: one per position that is off.
    """

    positions: int
    candidates: int
    largest_error: float
    tolerance: float
    findings: tuple[str, ...]


def probe_normalisation(
    scoring: Scoring,
    tokens: IntArray,
    vocab_size: int,
    noise: Noise,
    *,
    positions: Sequence[int],
    candidates: int,
    claimed: Claimed | None = None,
    seed: int,
) -> Normalisation:
    """Sum the realised probabilities of the targets at ``positions``.

    Args:
        scoring: judged as executed.
        tokens: int64 [n + 1].
        candidates: how many targets to score at most; below ``vocab_size`` this needs ``claimed``.
        claimed: the distribution behind the scoring; always compared where given.
        seed: of the random candidates.
    """
    if claimed is None:
        candidates = vocab_size
    tolerance = max(SUM_TOLERANCE, noise.tolerance_nats)
    findings: list[str] = []
    largest = 0.0
    for position in positions:
        for _ in range(1 + RECHECKS):
            one = _summed(scoring, tokens, vocab_size, noise, position, candidates, claimed, seed)
            if not one.findings:
                break
        largest = max(largest, one.error)
        findings += one.findings
    return Normalisation(
        positions=len(positions),
        candidates=min(candidates, vocab_size),
        largest_error=largest,
        tolerance=tolerance,
        findings=tuple(findings),
    )


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """One position: how far its sum is from 1, and what is wrong."""

    error: float
    findings: tuple[str, ...]


def _summed(
    scoring: Scoring,
    tokens: IntArray,
    vocab_size: int,
    noise: Noise,
    position: int,
    candidates: int,
    claimed: Claimed | None,
    seed: int,
) -> _Sum:
    rng = np.random.default_rng([seed, position])
    log_p = claimed(tokens, position) if claimed else np.full(vocab_size, np.nan)
    chosen = _candidates(log_p, candidates, rng)
    realised = np.array([-scoring(_with_target(tokens, position, token))[position] for token in chosen])
    p = np.exp(log_p)
    p[chosen] = np.exp(realised)
    error = abs(float(p.sum()) - 1.0)
    findings = _unlike(realised, log_p, chosen, position, noise) if claimed else []
    if not error <= max(SUM_TOLERANCE, noise.tolerance_nats):
        findings = [f"realised probabilities of the target of position {position} sum to {p.sum():.6g}", *findings]
    return _Sum(error=error if np.isfinite(error) else float("inf"), findings=tuple(findings))


def _with_target(tokens: IntArray, position: int, token: int) -> IntArray:
    changed = tokens.copy()
    changed[position + 1] = token
    return changed


def _candidates(log_p: Nats, count: int, rng: np.random.Generator) -> IntArray:
    """All tokens, or ``count`` of them: the most probable half and random others."""
    size = len(log_p)
    if count >= size:
        return np.arange(size)
    by_mass = np.argsort(-log_p, kind="stable")
    top = count // 2
    return np.concatenate([by_mass[:top], rng.choice(by_mass[top:], count - top, replace=False)])


def _unlike(realised: Nats, log_p: Nats, chosen: IntArray, position: int, noise: Noise) -> list[str]:
    """A finding where a candidate's realised log-probability is not the claimed one."""
    difference = np.abs(realised - log_p[chosen])
    tolerance = max(SUM_TOLERANCE, noise.tolerance_nats)
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if difference[worst] <= tolerance:
        return []
    token = int(chosen[worst])
    return [f"token {token} at position {position} scores {difference[worst]:.3g} nats off the distribution it is drawn from"]
