"""One weight on the grid: integer exponents of the steps, the overflow guard, and GPTQ on that grid.

Source: QUANTIZATION 7 (range +-127 and the guard), GPTQ as in `recur.quantize.sweep`. Legend: W weight, R rows, C columns.
Steps are ``base * 2^((rows[r] + columns[c]) / 8)``: base a float32, the exponents int8, so the decoder computes them alike on
every machine (`recur.artifact.decode`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.artifact.decode import exp2_eighths
from recur.errors import RecurError
from recur.quantize.grid.steps import LogSteps
from recur.quantize.scales import round_codes
from recur.quantize.sweep import Factor, sweep

EXPONENTS_PER_OCTAVE = 8
CODE_LIMIT = 127
GUARD_LIMIT = 120
"""Largest code before error feedback; a finer step in a row than max|row| / 120 is raised to it."""


@dataclass(frozen=True, kw_only=True)
class GridSteps:
    """The steps of one weight as they are stored.

    Attributes:
        base: float32, 0-dim.
        rows: ``[R]`` int8, eighths of an octave.
        columns: ``[C]`` int8, eighths of an octave.
    """

    base: Tensor
    rows: Tensor
    columns: Tensor

    def row_steps(self) -> Tensor:
        """``[R]`` float32: base times the row's factor."""
        return self.base * exp2_eighths(self.rows)

    def column_factors(self) -> Tensor:
        """``[C]`` float32."""
        return exp2_eighths(self.columns)


def grid_steps(W_RC: Tensor, steps: LogSteps, log2_multiplier: float) -> GridSteps:
    """Steps as stored: exponents rounded, rows raised where a code would pass `GUARD_LIMIT`.

    Args:
        W_RC: weight, float32, finite.
        steps: of the rule, before the multiplier.
        log2_multiplier: of the fit.

    Raises:
        RecurError: steps outside float32.
    """
    columns_C = _eighths(steps.columns)
    largest_R = (W_RC.abs() / exp2_eighths(columns_C)).amax(dim=1) if W_RC.numel() else torch.zeros(len(steps.rows))
    centre = _centre(steps.rows.double() + log2_multiplier, (largest_R.double() / GUARD_LIMIT).log2())
    base = torch.tensor(2.0**centre, dtype=torch.float32)
    if not (torch.isfinite(base) and base > 0):
        raise RecurError(f"a step of 2^{centre:.1f} is outside float32: the byte cap cannot be met")
    wanted_R = _eighths(steps.rows.double() + log2_multiplier - centre)
    guard_R = (largest_R / (GUARD_LIMIT * base)).clamp_min(2.0**-15).log2() * EXPONENTS_PER_OCTAVE
    rows_R = torch.maximum(wanted_R.float(), guard_R.ceil().clamp(-127, 127)).to(torch.int8)
    return GridSteps(base=base, rows=rows_R, columns=columns_C)


def _centre(wanted_R: Tensor, guard_R: Tensor) -> float:
    """log2 of the base: the median row's, or higher, so that no row that the guard raises is out of reach of its exponent."""
    if not len(wanted_R):
        return 0.0
    return max(float(torch.maximum(wanted_R, guard_R).median()), float(guard_R.max()) - 127 / EXPONENTS_PER_OCTAVE)


def round_to_grid(W_RC: Tensor, grid: GridSteps, factor: Factor | None, block_columns: int) -> Tensor:
    """Codes ``[R, C]`` int8 in the weight's column order: GPTQ with a factor, to nearest without."""
    row_R, column_C = grid.row_steps(), grid.column_factors()
    if factor is None:
        return round_codes(W_RC / column_C, row_R[:, None], CODE_LIMIT).to(torch.int8)
    ordered_RC = W_RC[:, factor.order]
    ordered_RC[:, factor.dead] = 0.0
    codes_RC = torch.empty(W_RC.shape, dtype=torch.int8)
    codes_RC[:, factor.order] = sweep(
        ordered_RC, row_R, factor.upper, block_columns, limit=CODE_LIMIT, column_C=column_C[factor.order]
    )
    return codes_RC


def _eighths(log2: Tensor) -> Tensor:
    return (log2.float() * EXPONENTS_PER_OCTAVE).round().clamp(-127, 127).to(torch.int8)
