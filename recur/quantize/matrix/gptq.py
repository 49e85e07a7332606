"""Component ``quantize.matrix = "gptq"``: int6 by GPTQ with activation order and a clip percentile per matrix.

Source: REFERENCE 8.5. Legend: W weight, H Hessian, D error of the decoded weight, R rows, C columns, P clip candidates,
N distinct (row, step) pairs.
Rows are independent given H, so each distinct pair is swept once: where the scale floor makes all candidates of a row
equal (the reference's usual case) that is a fifth of the work, with the same codes (PERFORMANCE D1).
Deviation: with ``candidate_error = "hessian"`` each row takes the candidate of its own smallest D H D^T; the reference
("mse") takes one candidate for the whole matrix by the unweighted mean squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.rounding import clip_search
from recur.quantize.scales import int6_row_scales
from recur.quantize.sweep import factorise, sweep
from recur.quantize.tensors import QuantizedTensor


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The distinct (row, step) pairs among P candidate steps of R rows.

    Attributes:
        row: ``[N]`` row of each pair; pairs are in order of their first occurrence, candidate by candidate.
        scale: ``[N]`` its step, float16.
        pair: ``[P, R]`` index of the pair that is candidate p of row r.
    """

    row: Tensor
    scale: Tensor
    pair: Tensor


def distinct_candidates(scales_PR: Tensor) -> Candidates:
    """Number the distinct pairs; the first R of them are the rows with their first candidate."""
    same_PPR = scales_PR[:, None] == scales_PR[None]
    first_PR = same_PPR.int().argmax(dim=1)
    rows_R = torch.arange(scales_PR.shape[1], device=scales_PR.device)
    is_first_PR = first_PR == torch.arange(len(scales_PR), device=scales_PR.device)[:, None]
    number_PR = (is_first_PR.flatten().cumsum(0) - 1).view_as(first_PR)
    return Candidates(
        row=rows_R.expand_as(scales_PR)[is_first_PR],
        scale=scales_PR[is_first_PR],
        pair=number_PR.gather(0, first_PR),
    )


def quantize_matrix(weight: Tensor, hessian: Tensor | None, cfg: QuantizeConfig) -> QuantizedTensor:
    """One matrix: `quantize_matrices` of it alone."""
    return quantize_matrices([weight], hessian, cfg)[0]


def quantize_matrices(weights: Sequence[Tensor], hessian: Tensor | None, cfg: QuantizeConfig) -> list[QuantizedTensor]:
    """Int6 codes and float16 row steps of matrices with one input (a block's q, k and v), which share its factorisation.

    Args:
        weights: each ``[rows, columns]``, floating point.
        hessian: mean of x x^T over the layers' input, ``[columns, columns]``; None if none was collected.
        cfg: clip percentiles, damping, block, candidate error, scale floor.

    Returns:
        Codes in the weights' column order; ``meta["method"]`` is ``clip_search`` where there is no Hessian or it cannot
        be factorised.
    """
    matrices = [weight.detach().float() for weight in weights]
    factor = None if hessian is None else factorise(hessian, cfg.damping)
    if hessian is None or factor is None:
        return [clip_search(W_RC, cfg, method="clip_search") for W_RC in matrices]
    W_RC, rows = torch.cat(matrices), [len(matrix) for matrix in matrices]
    found = distinct_candidates(int6_row_scales(W_RC, cfg))
    ordered_RC = W_RC[:, factor.order]
    ordered_RC[:, factor.dead] = 0.0
    step_N = found.scale.float()
    codes_NC = sweep(ordered_RC[found.row], step_N, factor.upper, cfg.block_columns)
    if cfg.candidate_error == "mse":
        parts = zip(torch.split(ordered_RC, rows), torch.split(found.pair, rows, dim=1), strict=True)
        pair_R = torch.cat([_best_for_matrix(W, codes_NC, step_N, pair_PR) for W, pair_PR in parts])
    else:
        ordered_H_CC = hessian.float()[factor.order][:, factor.order]
        pair_R = _best_by_row(ordered_RC, codes_NC, step_N, found, ordered_H_CC)
    codes_RC = torch.empty_like(codes_NC[pair_R])
    codes_RC[:, factor.order] = codes_NC[pair_R]
    meta = {"type": "int6", "method": "gptq"}
    split = zip(torch.split(codes_RC, rows), torch.split(found.scale[pair_R], rows), strict=True)
    return [QuantizedTensor(q=q.clone(), scale=scale.clone(), meta=dict(meta)) for q, scale in split]


def _best_for_matrix(W_RC: Tensor, codes_NC: Tensor, step_N: Tensor, pair_PR: Tensor) -> Tensor:
    """Pairs of the candidate with the smallest mean squared error over the matrix, the first of equals; ``[R]``."""
    best, least = pair_PR[0], float("inf")
    for p, pair_R in enumerate(pair_PR):
        if any(torch.equal(pair_R, earlier) for earlier in pair_PR[:p]):
            continue
        error = float((W_RC - codes_NC[pair_R] * step_N[pair_R, None]).square().mean())
        if error < least:
            best, least = pair_R, error
    return best


def _best_by_row(W_RC: Tensor, codes_NC: Tensor, step_N: Tensor, found: Candidates, H_CC: Tensor) -> Tensor:
    """Pair with the smallest D H D^T of each row, the first of equals; ``[R]``."""
    D_NC = W_RC[found.row] - codes_NC * step_N[:, None]
    error_N = ((D_NC @ H_CC) * D_NC).sum(dim=1)
    best_R = error_N[found.pair].argmin(dim=0)
    return found.pair.gather(0, best_R[None])[0]
