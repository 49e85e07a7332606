"""The GPTQ column sweep: factor of the inverse Hessian, and rounding with error feedback.

Source: Frantar et al. 2022 (GPTQ), with activation order; REFERENCE 8.5 (1-5). Legend: W weight, H Hessian,
R rows, C columns in sweep order, U the upper Cholesky factor of H^-1. Float32 throughout, on the device of the inputs.
Deviation: the sweep keeps columns contiguous (transposed layout); rows are independent, so any set of rows with any
step each can go through one sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.quantize.scales import INT6_LIMIT, round_codes


@dataclass(frozen=True, kw_only=True)
class Factor:
    """What the sweep needs of a Hessian; `conditional_variances` reads the cost of each column off it.

    Attributes:
        order: ``[C]`` columns of the weight in sweep order (descending damped diagonal).
        dead: ``[C]`` which columns, in sweep order, never had an input.
        upper: ``[C, C]`` U with ``H^-1 = U^T U`` of the damped Hessian in sweep order.
    """

    order: Tensor
    dead: Tensor
    upper: Tensor

    def conditional_variances(self) -> Tensor:
        """``[C]`` in the weight's column order: variance of each input given those that are rounded after it.

        An error left in a column costs this much after the later columns have made up for it; 0 for dead columns.
        """
        variance_C = torch.empty_like(self.upper.diagonal())
        variance_C[self.order] = torch.where(self.dead, 0.0, self.upper.diagonal().square().reciprocal())
        return variance_C


def factorise(H_CC: Tensor, damping_frac: float) -> Factor | None:
    """Damp, order and factorise a Hessian.

    Args:
        H_CC: mean of x x^T, float32.
        damping_frac: added to the diagonal, as a fraction of its mean.

    Returns:
        The factor, or None where a factorisation fails (not positive definite, not finite).
    """
    H_CC = H_CC.float().clone()
    diagonal_C = H_CC.diagonal()
    dead_C = diagonal_C == 0
    diagonal_C[dead_C] = 1.0
    diagonal_C += damping_frac * diagonal_C.mean()
    order_C = torch.argsort(diagonal_C, descending=True, stable=True)
    lower_CC, failed = torch.linalg.cholesky_ex(H_CC[order_C][:, order_C])
    if failed or not torch.isfinite(lower_CC).all():
        return None
    upper_CC, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower_CC), upper=True)
    if failed or not torch.isfinite(upper_CC).all():
        return None
    return Factor(order=order_C, dead=dead_C[order_C], upper=upper_CC)


def torch_block(W_BR: Tensor, step_R: Tensor, upper_BB: Tensor, limit: int, column_B: Tensor | None, codes_BR: Tensor) -> Tensor:
    """Round B columns one after the other, each error fed back into those after it.

    Args:
        W_BR: the columns, overwritten.
        step_R, limit: as for `sweep`.
        upper_BB: their part of the factor.
        column_B: their part of ``column_C``.
        codes_BR: int8, written.

    Returns:
        Errors over the factor's diagonal, ``[B, R]``.
    """
    error_BR, scratch_BR = torch.empty_like(W_BR), torch.empty_like(W_BR)
    for j, W_R in enumerate(W_BR):
        step = step_R if column_B is None else step_R * column_B[j]
        codes_R = round_codes(W_R, step, limit)
        codes_BR[j] = codes_R
        error_R = torch.sub(W_R, codes_R.mul_(step), out=error_BR[j]).div_(upper_BB[j, j])
        fed_back = torch.mul(upper_BB[j, j + 1 :, None], error_R, out=scratch_BR[j + 1 :])
        W_BR[j + 1 :].sub_(fed_back)  # addr_ would round once where the reference rounds twice
    return error_BR


round_block = torch_block
"""What `sweep` uses; `recur.native` puts a compiled one here, with the same bits."""


def sweep(
    W_RC: Tensor,
    step_R: Tensor,
    upper_CC: Tensor,
    block_columns: int,
    *,
    limit: int = INT6_LIMIT,
    column_C: Tensor | None = None,
) -> Tensor:
    """Round columns left to right; each column's error is fed back into the columns after it.

    Inside a block at once, beyond it once per block, which is the same sum in another order.

    Args:
        W_RC: weight with its columns in sweep order, float32.
        step_R: step of each row, float32, positive.
        upper_CC: `Factor.upper`.
        block_columns: columns per lazy update.
        limit: largest code.
        column_C: factor of each column's steps, in sweep order; None = 1.

    Returns:
        Codes ``[R, C]`` int8, columns in sweep order.
    """
    W_CR = W_RC.t().clone(memory_format=torch.contiguous_format)
    columns = W_CR.shape[0]
    codes_CR = torch.empty_like(W_CR, dtype=torch.int8)
    for start in range(0, columns, block_columns):
        stop = min(start + block_columns, columns)
        column_B = None if column_C is None else column_C[start:stop]
        upper_BB = upper_CC[start:stop, start:stop]
        error_BR = round_block(W_CR[start:stop], step_R, upper_BB, limit, column_B, codes_CR[start:stop])
        W_CR[stop:].addmm_(upper_CC[start:stop, stop:].t(), error_BR, alpha=-1)
    return codes_CR.t().contiguous()
