"""Rule ``percentile``: the reference's clip percentile over 31, with or without its floor (REFERENCE 8.2).

The largest of ``quantize.clip_percentiles`` decides; there is no search, since the fit scales all steps afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.grid.steps import LogSteps, Sensitivity, per_matrix, spread
from recur.quantize.scales import INT6_LIMIT, row_clips


def log_steps(weight: Tensor, sensitivity: Sensitivity, cfg: QuantizeConfig) -> LogSteps:
    """Steps of each row from its own magnitudes; see `recur.quantize.grid.steps.LogSteps`."""
    del sensitivity
    W_RC = weight.float()
    clip_R = row_clips(W_RC, (max(cfg.clip_percentiles),))[0]
    clip_R = torch.where(clip_R > 0, clip_R, spread(W_RC))
    if cfg.scale_floor:
        clip_R = clip_R.clamp_min(cfg.floor_clip)
    log_R = (clip_R / INT6_LIMIT).log2()
    return LogSteps(rows=per_matrix(log_R) if cfg.step_layout == "matrix" else log_R, columns=torch.zeros(W_RC.shape[1]))
