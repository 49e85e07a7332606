"""Schedules as pure functions (REFERENCE 6.4)."""

from __future__ import annotations


def lr_multiplier(frac: float, *, warmdown_frac: float, min_frac: float) -> float:
    """Factor on every base learning rate at ``frac`` of the run: 1, then linear to ``min_frac`` over the warmdown.

    Args:
        frac: elapsed training time over the budget, or step over steps; may exceed 1.
        warmdown_frac: share of the run that warms down; 0 = never.
        min_frac: lower bound of the factor.
    """
    if warmdown_frac <= 0 or frac < 1 - warmdown_frac:
        return 1.0
    return max((1 - frac) / warmdown_frac, min_frac)


def muon_momentum(step: int, *, start: float, final: float, warmup_steps: int) -> float:
    """Muon's momentum for the 0-based ``step``: linear from ``start`` to ``final`` over ``warmup_steps``."""
    f = min(step / warmup_steps, 1.0) if warmup_steps > 0 else 1.0
    return (1 - f) * start + f * final
