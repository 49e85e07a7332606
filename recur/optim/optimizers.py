"""All optimizers of a run as one object: token AdamW, head AdamW, matrix optimizer, scalar AdamW (REFERENCE 6.5)."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recur.components import component
from recur.config import OptimConfig
from recur.model.gpt import GPT
from recur.optim.groups import adamw, assign
from recur.train.ranks import Ranks


class MatrixOptimizer(Protocol):
    """What `optim.matrix` must provide."""

    def gradients(self) -> list[Tensor]: ...
    def step(self, *, lr: float, momentum: float) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Optimizers:
    """The run's optimizers in the order in which they step.

    Args:
        model: whose parameters are trained.
        cfg: the recipe's branch.
        ranks: who we are; gradients are averaged over all, of matrices each rank has a share.
    """

    def __init__(self, model: GPT, cfg: OptimConfig, ranks: Ranks) -> None:
        self.cfg, self.ranks = cfg, ranks
        self.model = model
        names = assign(model, cfg)
        parameters = dict(model.named_parameters())

        def pick(group: tuple[str, ...]) -> list[Tensor]:
            return [parameters[name] for name in group]

        self.matrix: MatrixOptimizer = component("recur.optim.matrix", cfg.matrix).build(pick(names.matrix), cfg, ranks)
        self._shared = [p for name, p in parameters.items() if name not in names.matrix]
        self.token = adamw(pick(names.token), cfg, lr=cfg.token_lr, weight_decay=cfg.token_weight_decay)
        self.head = None
        if not model.cfg.tied_embeddings:
            self.head = adamw(pick(names.head), cfg, lr=cfg.head_lr, weight_decay=0.0)
        self.scalar = adamw(pick(names.scalar), cfg, lr=cfg.scalar_lr, weight_decay=cfg.scalar_weight_decay)

    def _adams(self) -> list[torch.optim.AdamW]:
        return [opt for opt in (self.token, self.head, self.scalar) if opt is not None]

    @torch.no_grad()
    def average_and_clip(self) -> Tensor:
        """Average all gradients over ranks, then scale them by ``min(1, clip / (norm + 1e-6))``.

        Returns:
            The global L2 norm before clipping (0-dim).
        """
        own = self.matrix.gradients()
        shared = [p.grad for p in self._shared if p.grad is not None]
        self.ranks.mean_tensors(shared)
        own_square = nn.utils.get_total_norm(own).square()
        self.ranks.sum_tensors([own_square])
        norm = (own_square + nn.utils.get_total_norm(shared).square()).sqrt()
        if self.cfg.grad_clip_norm > 0:
            torch._foreach_mul_([*own, *shared], (self.cfg.grad_clip_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def step(self, *, multiplier: float, momentum: float) -> None:
        """Token, head, matrix, scalar, each at its base rate times ``multiplier``."""
        for opt in self._adams():
            for group in opt.param_groups:
                group["lr"] = group["base_lr"] * multiplier
        self.token.step()
        if self.head is not None:
            self.head.step()
        self.matrix.step(lr=self.cfg.matrix_lr * multiplier, momentum=momentum)
        self.scalar.step()

    def zero_grad(self) -> None:
        """Drop every gradient."""
        self.model.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """A deep copy of every optimizer's state."""
        state = {f"adam{i}": opt.state_dict() for i, opt in enumerate(self._adams())}
        return copy.deepcopy(state | {"matrix": self.matrix.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put a state of `state_dict` back."""
        for i, opt in enumerate(self._adams()):
            opt.load_state_dict(copy.deepcopy(state[f"adam{i}"]))
        self.matrix.load_state_dict(state["matrix"])
