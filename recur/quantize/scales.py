"""Clip and scale rules, and rounding to codes: pure functions of tensors.

Source: REFERENCE 8.2 and 8.3. Legend: W weight, R rows, C columns, P clip percentiles.
Deviations: without `QuantizeConfig.scale_floor` (a reference defect) a row whose clip is 0 takes its largest
magnitude, and a row of zeros the step 1; a step never underflows to 0 or overflows in float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recur.config import QuantizeConfig

INT6_LIMIT = 31
INT8_LIMIT = 127
TABLE_PERCENTILE = 0.9999984
HALF_MIN = 2.0**-24
HALF_MAX = 65504.0


def row_clips(W_RC: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Clip value of each row for each percentile of its magnitudes.

    Linear interpolation between order statistics at position p*(C-1), formed in float32 as `torch.quantile` does, of which
    only the few largest are looked for; p = 1 is the maximum.

    Args:
        W_RC: weight, float32.
        percentiles: fractions in [0, 1].

    Returns:
        ``[P, R]`` float32.
    """
    last = W_RC.shape[1] - 1
    position_P = torch.tensor(percentiles, dtype=torch.float32, device=W_RC.device) * last
    below_P = position_P.floor()
    lowest = int(below_P.min())
    ascending_RK = W_RC.abs().topk(last + 1 - lowest, dim=1).values.flip(1)
    below_PR = ascending_RK[:, below_P.long() - lowest].t()
    above_PR = ascending_RK[:, position_P.ceil().long() - lowest].t()
    return torch.lerp(below_PR, above_PR, (position_P - below_P)[:, None])


def half_steps(step: Tensor) -> Tensor:
    """Steps as float16; 0 becomes 1, anything else stays a positive finite number."""
    bounded = step.clamp(HALF_MIN, HALF_MAX)
    return torch.where(step > 0, bounded, torch.ones_like(step)).half()


def floored_steps(clip: Tensor, limit: int, floor_clip: float = 1.0) -> Tensor:
    """``max(clip, floor_clip) / limit``: the reference's step with its defect, the floor ``1 / limit`` (REFERENCE 8.2)."""
    return (clip / limit).clamp_min(floor_clip / limit)


def nonzero_clips(W_RC: Tensor, clip: Tensor) -> Tensor:
    """``clip`` (``[..., R]``), with the row's largest magnitude where it is 0."""
    return torch.where(clip > 0, clip, W_RC.abs().amax(dim=1))


def int6_row_scales(W_RC: Tensor, cfg: QuantizeConfig) -> Tensor:
    """Candidate steps of each row by the config's percentiles, ``[P, R]`` float16; its floor is the reference's defect."""
    clip_PR = row_clips(W_RC, cfg.clip_percentiles)
    if cfg.scale_floor:
        return half_steps(floored_steps(clip_PR, INT6_LIMIT, cfg.floor_clip))
    return half_steps(nonzero_clips(W_RC, clip_PR) / INT6_LIMIT)


def round_codes(W: Tensor, step: Tensor, limit: int) -> Tensor:
    """``clamp(round(W / step), -limit, limit)``, round half to even, still floating point.

    Args:
        W: weight, float32.
        step: float32, broadcast against ``W``.
        limit: largest code.
    """
    return (W / step).round_().clamp_(-limit, limit)
