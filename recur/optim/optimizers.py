"""All optimizers of a run as one object: token AdamW, head AdamW, matrix optimizer, scalar AdamW (REFERENCE 6.5)."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recur.components import component
from recur.config import OptimConfig
from recur.optim.groups import adamw, assign
from recur.train.ranks import Ranks


class MatrixOptimizer(Protocol):
    """What `optim.matrix` must provide."""

    def step(self, *, lr: float, momentum: float) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Optimizers:
    """The run's optimizers in the order in which they step.

    Args:
        model: whose parameters are trained.
        cfg: the recipe's branch.
        ranks: for the matrix optimizer's share per rank.
    """

    def __init__(self, model: nn.Module, cfg: OptimConfig, ranks: Ranks) -> None:
        self.cfg = cfg
        self.model = model
        names = assign(model, cfg)
        parameters = dict(model.named_parameters())

        def pick(group: tuple[str, ...]) -> list[Tensor]:
            return [parameters[name] for name in group]

        self.matrix: MatrixOptimizer = component("recur.optim.matrix", cfg.matrix).build(pick(names.matrix), cfg, ranks)
        self.token = adamw(pick(names.token), cfg, lr=cfg.token_lr, weight_decay=cfg.token_weight_decay)
        self.head = adamw(pick(names.head), cfg, lr=cfg.head_lr, weight_decay=0.0) if names.head else None
        self.scalar = adamw(pick(names.scalar), cfg, lr=cfg.scalar_lr, weight_decay=cfg.scalar_weight_decay)

    def _adams(self) -> list[torch.optim.AdamW]:
        return [opt for opt in (self.token, self.head, self.scalar) if opt is not None]

    def clip(self) -> Tensor:
        """Scale all gradients by ``min(1, clip / (norm + 1e-6))``; returns the global L2 norm before (0-dim)."""
        limit = self.cfg.grad_clip_norm if self.cfg.grad_clip_norm > 0 else float("inf")
        return nn.utils.clip_grad_norm_(self.model.parameters(), limit)

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
