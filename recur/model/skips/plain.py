"""Plain U-Net skip: ``x <- x + w*s`` (REFERENCE 4.5, without gates)."""

from __future__ import annotations

import torch
from torch import Tensor


def parameters(rows: int, width: int) -> dict[str, Tensor]:
    """Initial values of the root-level parameters this skip owns, each [rows, width]."""
    return {"skip_weights": torch.ones(rows, width)}


def blend(x: Tensor, skipped: Tensor, row: int, parameters: dict[str, Tensor]) -> Tensor:
    """Add an encoder output [B, T, D], scaled per channel by row ``row`` of the weights."""
    return x + parameters["skip_weights"][row].to(x.dtype) * skipped
