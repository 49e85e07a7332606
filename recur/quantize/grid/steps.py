"""Values that the scale rules take and give: what a weight's error costs, and the step of each of its elements.

Source: QUANTIZATION 3-4: equal slope with output sensitivity. To second order the KL per token that an error D of the weight
costs is 1/2 sum_rc F_rc D_rc^2 with F_rc = G_r V_c + L_r: G the second moment of the gradient at output r, V_c the
conditional variance of input c that is left after GPTQ's error feedback, L_r what a looked-up row costs by itself.
Legend: W weight, R rows (outputs), C columns (inputs).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

FLOOR_FRAC = 1e-3
"""Sensitivities below this fraction of their mean count as this: rows that calibration never saw keep a finite step."""


class Role(StrEnum):
    """Which kind of weight, for rules with a constant per role."""

    ATTENTION = "attention"
    MLP = "mlp"
    TABLE = "table"


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What errors of a weight ``[R, C]`` cost, per token.

    Attributes:
        role: kind of weight.
        outputs: G, second moment of the gradient at each output; None where calibration has no output side.
        inputs: V, conditional variance of each input under GPTQ; None without a Hessian.
        lookups: L, for tables the second moment of the gradient at a looked-up row, times how often it is looked up.
    """

    role: Role
    outputs: Tensor | None = None
    inputs: Tensor | None = None
    lookups: Tensor | None = None

    def rows(self, rows: int, *, own_columns: bool) -> Tensor:
        """Cost of a unit error in each row, ``[R]`` float32, floored at `FLOOR_FRAC` of the mean.

        Args:
            rows: R.
            own_columns: whether each column gets its own step (then the columns' geometric mean counts, else their mean).
        """
        mean_input = 1.0
        if self.inputs is not None:
            cost_C = floored(self.inputs.float())
            mean_input = float(cost_C.log().mean().exp() if own_columns else cost_C.mean())
        cost_R = torch.zeros(rows) if self.outputs is None else self.outputs.float() * mean_input
        cost_R = cost_R if self.lookups is None else cost_R + self.lookups.float()
        return floored(cost_R)

    def columns(self, columns: int) -> Tensor:
        """Cost of each column relative to the columns' geometric mean, ``[C]`` float32 (ones without a Hessian)."""
        if self.inputs is None:
            return torch.ones(columns)
        cost_C = floored(self.inputs.float())
        return cost_C / cost_C.log().mean().exp()


def floored(cost: Tensor) -> Tensor:
    """Positive finite costs: at least `FLOOR_FRAC` of their mean; ones where all are zero."""
    mean = cost.mean()
    return cost.clamp_min(FLOOR_FRAC * float(mean)) if mean > 0 else torch.ones_like(cost)


@dataclass(frozen=True, kw_only=True)
class LogSteps:
    """log2 of the step of element (r, c) is ``rows[r] + columns[c]`` plus the global multiplier's.

    Attributes:
        rows: ``[R]`` float32.
        columns: ``[C]`` float32, mean 0.
    """

    rows: Tensor
    columns: Tensor


def spread(W_RC: Tensor) -> Tensor:
    """Root mean square of each row, ``[R]``; a row of zeros takes the matrix's, and a matrix of zeros 1."""
    rms_R = W_RC.float().square().mean(dim=1).sqrt()
    whole = rms_R.square().mean().sqrt()
    return torch.where(rms_R > 0, rms_R, whole if whole > 0 else torch.ones(()))


def per_matrix(log_R: Tensor) -> Tensor:
    """The rows' log2 steps replaced by their mean."""
    return log_R.mean().expand_as(log_R).clone()
