"""Rounding to nearest: int6 clip search, int6 with one step, int8 tables.

Source: REFERENCE 8.2 (int6) and 8.3 (int8). Both are deterministic and need no calibration data.
Deviation: without `QuantizeConfig.unrounded_table_scale` (a reference defect) int8 codes are computed with the float16
step that decodes them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.scales import (
    INT6_LIMIT,
    INT8_LIMIT,
    TABLE_PERCENTILE,
    floored_steps,
    half_steps,
    int6_row_scales,
    nonzero_clips,
    round_codes,
    row_clips,
)
from recur.quantize.tensors import QuantizedTensor


def clip_search(W_RC: Tensor, cfg: QuantizeConfig, *, method: str | None) -> QuantizedTensor:
    """Int6 rows: the clip percentile with the smallest mean squared error over the whole matrix, the first of equals.

    Args:
        W_RC: weight, float32.
        cfg: percentiles and the scale floor.
        method: recorded as ``meta["method"]``; None records no method.
    """
    scales_PR = int6_row_scales(W_RC, cfg)
    errors: list[float] = []
    for scale_R in scales_PR:
        step_R1 = scale_R.float()[:, None]
        errors.append(float((W_RC - round_codes(W_RC, step_R1, INT6_LIMIT) * step_R1).square().mean()))
    scale_R = scales_PR[errors.index(min(errors))]
    codes_RC = round_codes(W_RC, scale_R.float()[:, None], INT6_LIMIT).to(torch.int8)
    meta = {"type": "int6"} if method is None else {"type": "int6", "method": method}
    return QuantizedTensor(q=codes_RC, scale=scale_R.clone(), meta=meta)


def quantize_block(W: Tensor) -> QuantizedTensor:
    """Int6 with one step for a tensor that is not a matrix: ``max|W| / 31``, or 1 where all is zero."""
    scale = half_steps(W.abs().amax() / INT6_LIMIT)
    codes = round_codes(W, scale.float(), INT6_LIMIT).to(torch.int8)
    return QuantizedTensor(q=codes, scale=scale, meta={"type": "int6"})


def quantize_table(W: Tensor, cfg: QuantizeConfig) -> QuantizedTensor:
    """Int8 rows of a table (float16 steps), or one float32 step for another shape.

    Args:
        W: float32; 2-D, or any other shape.
        cfg: the scale floor and which step the codes are computed with.
    """
    if W.ndim != 2:
        return _one_step_table(W)
    clip_R = row_clips(W, (TABLE_PERCENTILE,))[0]
    clip_R = clip_R if cfg.scale_floor else nonzero_clips(W, clip_R)
    exact_R = floored_steps(clip_R, INT8_LIMIT) if cfg.scale_floor else clip_R / INT8_LIMIT
    stored_R = half_steps(exact_R)
    step_R = torch.where(exact_R > 0, exact_R, 1.0) if cfg.unrounded_table_scale else stored_R.float()
    codes = round_codes(_clamp(W, clip_R[:, None]), step_R[:, None], INT8_LIMIT)
    return QuantizedTensor(q=codes.to(torch.int8), scale=stored_R, meta={"type": "int8"})


def _one_step_table(W: Tensor) -> QuantizedTensor:
    clip = row_clips(W.reshape(1, -1), (TABLE_PERCENTILE,))[0, 0]
    scale = torch.where(clip > 0, clip / INT8_LIMIT, 1.0)
    codes = round_codes(_clamp(W, clip), scale, INT8_LIMIT)
    return QuantizedTensor(q=codes.to(torch.int8), scale=scale, meta={"type": "int8"})


def _clamp(W: Tensor, limit: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(W, -limit), limit)
