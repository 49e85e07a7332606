"""One optimizer step: micro-batches, gradient average over ranks, clipping, all optimizers (REFERENCE 6.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.data.loader import Batch
from recur.model.gpt import GPT
from recur.optim.optimizers import Optimizers
from recur.train.ranks import Ranks

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """``loss_nats`` is this rank's mean over micro-batches, ``grad_norm`` the norm before clipping; both 0-dim, on the device."""

    loss_nats: Tensor
    grad_norm: Tensor


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bf16 autocast for the record precision policy, nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


class Stepper:
    """Everything a step needs that does not change from step to step."""

    def __init__(
        self, model: GPT, loss: LossFunction, optimizers: Optimizers, ranks: Ranks, *, precision: str, accum: int
    ) -> None:
        self.model, self.loss, self.optimizers, self.ranks = model, loss, optimizers, ranks
        self.precision, self.accum = precision, accum
        self.device = model.tok_emb.weight.device

    def step(self, batches: Iterable[Batch], *, multiplier: float, momentum: float) -> StepStats:
        """Train on ``accum`` micro-batches.

        Args:
            batches: the micro-batches of this rank.
            multiplier: factor on every base learning rate.
            momentum: of the matrix optimizer.
        """
        self.optimizers.zero_grad()
        total = torch.zeros((), device=self.device)
        for batch in batches:
            x, y = (t.to(self.device, non_blocking=True) for t in (batch.x_BT, batch.y_BT))
            with autocast(self.precision, self.device):
                loss = self.loss(x, y)
            total += loss.detach()
            (loss / self.accum).backward()  # type: ignore[no-untyped-call]
        norm = self.optimizers.average_and_clip()
        self.optimizers.step(multiplier=multiplier, momentum=momentum)
        self.optimizers.zero_grad()
        return StepStats(loss_nats=total / self.accum, grad_norm=norm)

    def finish(self) -> None:
        """Wait for all that was asked of the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
