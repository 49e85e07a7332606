"""The reference run's block, serial and in two lanes (REFERENCE 4.3, 4.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.model.attention import Attention, Rotation, norm, tail
from recur.model.depth import Lanes
from recur.model.mlp import MLP


class Block(nn.Module):
    """One physical layer; visited twice when it is in the recurrent list.

    Args:
        cfg: shapes.
        layer: physical index; norms are scaled by 1/sqrt(layer + 1) at every visit.
    """

    def __init__(self, cfg: ModelConfig, layer: int) -> None:
        super().__init__()
        self.norm_scale = 1.0 / math.sqrt(layer + 1) if cfg.depth_scaled_norms else 1.0
        self.attn_scale = nn.Parameter(torch.ones(cfg.width))
        self.mlp_scale = nn.Parameter(torch.ones(cfg.width))
        self.resid_mix = nn.Parameter(torch.stack((torch.ones(cfg.width), torch.zeros(cfg.width))))
        self.attn = Attention(cfg, layer)
        self.mlp = MLP(cfg)

    def _mix(self, x: Tensor, x0: Tensor) -> Tensor:
        mix = self.resid_mix.to(x.dtype)
        return mix[0] * x + mix[1] * x0

    def _attended(self, x: Tensor, value: Tensor | None, rotation: Rotation, first: int) -> Tensor:
        """The stream after attention, from position ``first`` on."""
        out: Tensor = self.attn(norm(x) * self.norm_scale, value, rotation, first)
        return tail(x, first) + self.attn_scale.to(x.dtype) * out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(norm(x) * self.norm_scale)
        return self.mlp_scale.to(x.dtype) * out

    def forward(self, x: Tensor, x0: Tensor, value: Tensor | None, rotation: Rotation, first: int = 0) -> Tensor:
        """Serial form: attention, then MLP, on one stream [B, T, D]; returns positions ``first`` and later of it."""
        x = self._attended(self._mix(x, x0), value, rotation, first)
        return x + self._mlp(x)

    def lanes(self, lanes: Lanes, x0: Tensor, value: Tensor | None, rotation: Rotation, first: int = 0) -> Lanes:
        """Two-lane form: attention reads and writes its lane, the MLP the other; no resid_mix on the MLP lane.

        The attention lane comes back from position ``first`` on, the MLP lane, which is position-wise, as long as it came.
        """
        a = self._attended(self._mix(lanes.attention, x0), value, rotation, first)
        return Lanes(attention=a, mlp=lanes.mlp + self._mlp(lanes.mlp))
