"""Gated U-Net skip of the reference run: ``x <- w*s + sigmoid(g) * (x - w*s)`` (REFERENCE 4.5)."""

from __future__ import annotations

import torch
from torch import Tensor


def parameters(rows: int, width: int) -> dict[str, Tensor]:
    """Initial values of the root-level parameters this skip owns, each [rows, width]."""
    return {"skip_weights": torch.ones(rows, width), "skip_gates": torch.zeros(rows, width)}


def blend(x: Tensor, skipped: Tensor, row: int, parameters: dict[str, Tensor]) -> Tensor:
    """Blend an encoder output [B, T, D] into the stream with row ``row`` of the weights and gates."""
    scaled = parameters["skip_weights"][row].to(x.dtype) * skipped
    gate = torch.sigmoid(parameters["skip_gates"][row].to(x.dtype))
    return scaled + gate * (x - scaled)
