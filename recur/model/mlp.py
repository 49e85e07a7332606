"""Position-wise MLP with the squared leaky ReLU of the reference run (REFERENCE 4.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.model.attention import CastedLinear

NEGATIVE_SLOPE = 0.5


class MLP(nn.Module):
    """``leaky_relu(u Wfc^T, 0.5)^2 Wproj^T``; the square is taken in float32 and rounded to the input's dtype."""

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        hidden = int(cfg.mlp_mult * cfg.width)
        self.fc = CastedLinear(cfg.width, hidden)
        self.proj = CastedLinear(hidden, cfg.width)

    def forward(self, u_BTD: Tensor) -> Tensor:
        z = self.fc(u_BTD)
        a = F.leaky_relu(z, NEGATIVE_SLOPE).float().square().to(z.dtype)
        out: Tensor = self.proj(a)
        return out
