"""Selective pruning: set the cheapest ±1 codes to zero.

Source: REFERENCE 9 (2-4). A candidate is a code of magnitude 1 in an int6 tensor with row steps; its cost is its row's
float32(step)^2; the order is ascending and stable, so ties keep state-dict order, then row-major position.
The cost is constant per row, so rows are sorted, not codes: whole rows are emptied and at most one is cut in its
middle, with the same result as sorting the codes (PERFORMANCE E).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.quantize.tensors import CODES, SCALE, QuantizedModel


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A model with some codes zeroed, and how many."""

    model: QuantizedModel
    pruned: int


def prunable(model: QuantizedModel) -> list[str]:
    """Parameters with candidates: int6 with a step per row, in state-dict order."""
    return [name for name in model.meta if model.kind(name) == "int6" and model.entries[name + SCALE].ndim > 0]


def candidate_count(model: QuantizedModel) -> int:
    """Number of ±1 codes that pruning may zero."""
    return sum(int((model.entries[name + CODES].abs() == 1).sum()) for name in prunable(model))


def prune(model: QuantizedModel, count: int) -> Pruned:
    """Zero the ``count`` cheapest candidates (all, if there are fewer); the given model is left as it is."""
    names = prunable(model)
    if count <= 0 or not names:
        return Pruned(model=model, pruned=0)
    counts = [_ones(model, name).count_nonzero(dim=1) for name in names]
    cost_R = torch.cat([model.entries[name + SCALE].float().square() for name in names])
    quota_R = _row_quotas(torch.cat(counts), cost_R, count)
    entries = dict(model.entries)
    for name, count_R, quota in zip(names, counts, torch.split(quota_R, [len(rows) for rows in counts]), strict=True):
        if bool(quota.any()):
            entries[name + CODES] = _zero_first(entries[name + CODES], _ones(model, name), count_R, quota)
    return Pruned(model=QuantizedModel(entries=entries, meta=model.meta), pruned=int(quota_R.sum()))


def _ones(model: QuantizedModel, name: str) -> Tensor:
    """Where the candidates of a parameter are, ``[R, C]``."""
    return (model.entries[name + CODES].abs() == 1).flatten(1)


def _row_quotas(per_row_R: Tensor, cost_R: Tensor, count: int) -> Tensor:
    """How many candidates of each row go, cheapest rows first."""
    order_R = torch.argsort(cost_R, stable=True)
    sizes_R = per_row_R[order_R]
    before_R = sizes_R.cumsum(0) - sizes_R
    quota_R = torch.empty_like(per_row_R)
    quota_R[order_R] = torch.minimum(sizes_R, (count - before_R).clamp_min(0))
    return quota_R


def _zero_first(codes: Tensor, mask_RC: Tensor, count_R: Tensor, quota_R: Tensor) -> Tensor:
    """``codes`` without the first ``quota`` masked entries of each row: all of them, but in the one row that is cut."""
    mask_RC &= (quota_R > 0)[:, None]
    for row in ((quota_R > 0) & (quota_R < count_R)).nonzero().flatten().tolist():
        mask_RC[row, mask_RC[row].nonzero().flatten()[int(quota_R[row]) :]] = False
    return codes.masked_fill(mask_RC.view_as(codes), 0)
