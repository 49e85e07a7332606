"""Muon with row-normalised updates ("MuonEq-R") for all matrices.

Source: REFERENCE 6.3. Deviation: matrices of one shape are stacked and orthogonalised together (same arithmetic per
matrix); with several ranks matrix ``i`` is still rank ``i mod world``'s, and the updates are summed over ranks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recur.config import OptimConfig
from recur.train.ranks import Ranks

NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPS = 1e-7
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def newton_schulz(u_Nrc: Tensor, *, steps: int, dtype: torch.dtype) -> Tensor:
    """Approximate the orthogonal factor of each matrix of a stack; singular values end up in about [0.68, 1.13].

    Args:
        u_Nrc: stack of matrices [N, r, c] (or one [r, c]).
        steps: quintic iterations.
        dtype: arithmetic; the reference's is bfloat16.

    Returns:
        The same shape in ``dtype``. A zero matrix stays zero.
    """
    a, b, c = NS_COEFFICIENTS
    x = u_Nrc.to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + (c * gram) @ gram) @ x
    out: Tensor = x.mT if tall else x
    return out


def normalise_rows(u_Nrc: Tensor) -> Tensor:
    """Each row divided by ``max(its L2 norm, 1e-7)``."""
    rows: Tensor = u_Nrc / u_Nrc.norm(dim=-1, keepdim=True).clamp_min(EPS)
    return rows


class Muon:
    """The optimizer over a fixed list of matrices.

    Args:
        parameters: 2-D float32 parameters; their order decides which rank handles which.
        cfg: learning rate, decay, iterations.
        ranks: who we are; every rank must call `step` at the same time.
    """

    def __init__(self, parameters: Sequence[Tensor], cfg: OptimConfig, ranks: Ranks) -> None:
        self.parameters = list(parameters)
        self.cfg, self.ranks = cfg, ranks
        self.dtype = _DTYPES[cfg.newton_schulz_dtype]
        self.buffers: dict[int, Tensor] = {}
        own = range(ranks.rank, len(self.parameters), ranks.world)
        shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index in own:
            shapes[tuple(self.parameters[index].shape)].append(index)
        self._groups = list(shapes.values())

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float) -> None:
        """One update of every matrix; a matrix without gradient is only decayed."""
        updates = [torch.zeros_like(p, dtype=self.dtype) for p in self.parameters] if self.ranks.world > 1 else None
        own: dict[int, Tensor] = {}
        for group in self._groups:
            own.update(self._orthogonal_updates(group, momentum))
        if updates is not None:
            for index, update in own.items():
                updates[index].copy_(update)
            self.ranks.sum_tensors(updates)
            own = dict(enumerate(updates))
        for index, p in enumerate(self.parameters):
            p.mul_(1 - lr * self.cfg.matrix_weight_decay)
            if index in own:
                p.add_(own[index].to(p.dtype), alpha=-lr)

    def _orthogonal_updates(self, group: list[int], momentum: float) -> dict[int, Tensor]:
        live = [index for index in group if self.parameters[index].grad is not None]
        if not live:
            return {}
        nesterov = torch.stack([self._nesterov(index, momentum) for index in live])
        rows, columns = nesterov.shape[-2:]
        scale = max(1.0, rows / columns) ** 0.5
        orthogonal = newton_schulz(normalise_rows(nesterov), steps=self.cfg.newton_schulz_steps, dtype=self.dtype)
        return dict(zip(live, (orthogonal * scale).unbind(), strict=True))

    def _nesterov(self, index: int, momentum: float) -> Tensor:
        gradient = self.parameters[index].grad
        assert gradient is not None
        gradient = gradient.float()
        if index not in self.buffers:
            self.buffers[index] = torch.zeros_like(gradient)
        buffer = self.buffers[index]
        buffer.mul_(momentum).add_(gradient)
        return gradient.add(buffer, alpha=momentum)

    def state_dict(self) -> dict[str, Any]:
        """Momentum buffers of this rank's matrices, by index."""
        return {str(index): buffer for index, buffer in self.buffers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the buffers; a matrix that is absent starts at zero again."""
        self.buffers = {int(index): buffer.clone() for index, buffer in state.items()}


def build(parameters: Sequence[Tensor], cfg: OptimConfig, ranks: Ranks) -> Muon:
    """The component's entry point."""
    return Muon(parameters, cfg, ranks)
