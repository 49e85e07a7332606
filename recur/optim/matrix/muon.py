"""Muon with row-normalised updates ("MuonEq-R") for all matrices.

Source: REFERENCE 6.3. Deviations, same arithmetic per matrix: matrices of one shape are a bank and are orthogonalised
together; with several ranks each bank's gradients are reduce-scattered, a rank orthogonalises its share, and the updates are
gathered (the reference all-reduces all gradients and then all updates; PERFORMANCE B3 (5)).
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
    """The optimizer over a fixed list of matrices, in banks of one shape [r, c].

    With several ranks a bank has ``per * world`` slots, the last ones empty, of which each rank has ``per``.

    Args:
        parameters: 2-D float32 parameters; their order decides which rank handles which.
        cfg: learning rate, decay, iterations.
        ranks: who we are; every rank must call `gradients` and `step` at the same time.
    """

    def __init__(self, parameters: Sequence[Tensor], cfg: OptimConfig, ranks: Ranks) -> None:
        self.cfg, self.ranks = cfg, ranks
        self.dtype = _DTYPES[cfg.newton_schulz_dtype]
        shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            shapes[parameter.shape].append(parameter)
        self.banks = list(shapes.values())
        self.momentum = [b[0].new_zeros(-(-len(b) // ranks.world), *b[0].shape) for b in self.banks]
        self._own: list[Tensor] = []

    def gradients(self) -> list[Tensor]:
        """This rank's share [per, r, c] of each bank's mean gradient; what the tensors hold at `step` counts."""
        if not self._own:
            self._own = [
                wait()
                for wait in [
                    self.ranks.scatter_mean(_slots([_gradient(p) for p in bank], self.ranks.world)) for bank in self.banks
                ]
            ]
        return self._own

    @torch.no_grad()
    def step(self, *, lr: float, momentum: float) -> None:
        """One update of every matrix; one without gradient is only decayed."""
        own, self._own = self.gradients(), []
        banks = zip(self.banks, own, self.momentum, strict=True)
        coming = [self.ranks.gather_slots(self._update(*bank, momentum)) for bank in banks]
        for bank, wait in zip(self.banks, coming, strict=True):
            for p, update in zip(bank, wait(), strict=False):
                p.mul_(1 - lr * self.cfg.matrix_weight_decay)
                if p.grad is not None:
                    p.add_(update.to(p.dtype), alpha=-lr)

    def _update(self, bank: list[Tensor], gradient: Tensor, buffer: Tensor, momentum: float) -> Tensor:
        buffer.mul_(_decay(bank, momentum, self.ranks)).add_(gradient)
        rows, columns = buffer.shape[-2:]
        nesterov = normalise_rows(gradient.add(buffer, alpha=momentum))
        orthogonal = newton_schulz(nesterov, steps=self.cfg.newton_schulz_steps, dtype=self.dtype)
        scaled: Tensor = orthogonal * max(1.0, rows / columns) ** 0.5
        return scaled

    def state_dict(self) -> dict[str, Any]:
        """Momentum of this rank's share of every bank."""
        return {"momentum": self.momentum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the momentum."""
        self.momentum = [t.clone() for t in state["momentum"]]


def _gradient(p: Tensor) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad.float()


def _decay(bank: list[Tensor], momentum: float, ranks: Ranks) -> float | Tensor:
    """The momentum, or that of each slot: a matrix without gradient keeps its buffer."""
    if all(p.grad is not None for p in bank):
        return momentum
    slots = _slots([bank[0].new_tensor(1.0 if p.grad is None else momentum) for p in bank], ranks.world)
    return slots.chunk(ranks.world)[ranks.rank].view(-1, 1, 1)


def _slots(parts: list[Tensor], world: int) -> Tensor:
    """Parts in slots whose number ``world`` divides; zeros in the empty ones."""
    return torch.stack(parts + [torch.zeros_like(parts[0])] * (-len(parts) % world))


def build(parameters: Sequence[Tensor], cfg: OptimConfig, ranks: Ranks) -> Muon:
    """The component's entry point."""
    return Muon(parameters, cfg, ranks)
