"""Rule ``slope``: every bit buys the same fall of the loss: step ~ (G V)^(-p/2) sigma^(1-p) (QUANTIZATION 3-4).

With p = 1 the marginal KL per bit is the same everywhere, which is optimal while codes carry many bits; below about three
bits a weight the high-rate formula overshoots and a smaller p, which pulls the steps towards the rows' spread, does
better. G, V and L are those of `recur.quantize.grid.steps.Sensitivity`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.grid.steps import LogSteps, Sensitivity, spread


def log_steps(weight: Tensor, sensitivity: Sensitivity, cfg: QuantizeConfig) -> LogSteps:
    """Steps per matrix, per row, or per row and column; see `recur.quantize.grid.steps.LogSteps`."""
    W_RC, p = weight.float(), cfg.slope_exponent
    rows, columns = W_RC.shape
    by_column = cfg.step_layout == "row_column"
    cost_R = sensitivity.rows(rows, own_columns=by_column)
    sigma_R = spread(W_RC)
    if cfg.step_layout == "matrix":
        cost_R = cost_R.mean().expand_as(cost_R)
        sigma_R = sigma_R.square().mean().sqrt().expand_as(sigma_R)
    log_R = -0.5 * p * cost_R.log2() + (1 - p) * sigma_R.log2()
    log_C = torch.zeros(columns)
    if by_column:
        log_C = -0.5 * p * sensitivity.columns(columns).log2() + (1 - p) * spread(W_RC.t()).log2()
        log_C = log_C - log_C.mean()
    return LogSteps(rows=log_R, columns=log_C)
