"""Which parameter belongs to which optimizer, and the AdamW halves.

Source: REFERENCE 6.1, 6.2, 6.5. Arithmetic of AdamW is torch's fused kernel; moments live in the parameter's dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recur.config import OptimConfig
from recur.model.build import is_control

_TOKEN = ("tok_emb.weight", "ve_shared.embed.weight")
_PROJECTIONS = ("embed_proj.weight", "head_proj.weight")
_TRAILING_SCALARS = ("skip_weights", "skip_gates", "lane_merge", "ve_shared.scale")


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Parameter names per optimizer, in the order in which each optimizer sees them."""

    token: tuple[str, ...]
    head: tuple[str, ...]
    matrix: tuple[str, ...]
    scalar: tuple[str, ...]


def assign(model: nn.Module, cfg: OptimConfig) -> Assignment:
    """Sort the model's parameters into groups; every parameter is in one, except frozen projections."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    blocks = [name for name in shapes if name.startswith("blocks.")]
    matrix = [name for name in blocks if len(shapes[name]) == 2 and not is_control(name)]
    matrix += [name for name in ("ve_shared.proj.weight",) if name in shapes]
    if not cfg.frozen_projections:
        matrix += [name for name in _PROJECTIONS if name in shapes]
    scalar = [name for name in blocks if name not in matrix]
    scalar += [name for name in _TRAILING_SCALARS if name in shapes]
    scalar += [name for name in shapes if name.startswith("ve_layer_scales.")]
    named = {*matrix, *scalar, *_TOKEN, "lm_head.weight", *_PROJECTIONS}
    scalar += [name for name in shapes if name not in named]
    return Assignment(
        token=tuple(name for name in _TOKEN if name in shapes),
        head=tuple(name for name in ("lm_head.weight",) if name in shapes),
        matrix=tuple(matrix),
        scalar=tuple(scalar),
    )


def adamw(parameters: list[Tensor], cfg: OptimConfig, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Fused AdamW, one group per parameter list; ``base_lr`` is kept in each group for the schedule."""
    groups = [{"params": parameters, "lr": lr, "base_lr": lr}]
    return torch.optim.AdamW(groups, lr=lr, betas=(cfg.beta1, cfg.beta2), eps=cfg.adam_eps, weight_decay=weight_decay, fused=True)
