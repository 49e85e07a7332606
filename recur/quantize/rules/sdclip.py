"""Rule ``sdclip``: k standard deviations of the row are the largest code, k per role (PR #1394, #1586; TECHNIQUES C1).

The largest code is that of the records: 31 for matrices, 127 for tables.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.grid.steps import LogSteps, Role, Sensitivity, per_matrix, spread
from recur.quantize.scales import INT6_LIMIT, INT8_LIMIT


def log_steps(weight: Tensor, sensitivity: Sensitivity, cfg: QuantizeConfig) -> LogSteps:
    """Steps of each row from its spread; see `recur.quantize.grid.steps.LogSteps`."""
    sigmas = {
        Role.ATTENTION: cfg.attention_clip / INT6_LIMIT,
        Role.MLP: cfg.mlp_clip / INT6_LIMIT,
        Role.TABLE: cfg.table_clip / INT8_LIMIT,
    }
    W_RC = weight.float()
    log_R = (sigmas[sensitivity.role] * spread(W_RC)).log2()
    return LogSteps(rows=per_matrix(log_R) if cfg.step_layout == "matrix" else log_R, columns=torch.zeros(W_RC.shape[1]))
