"""Exponential moving average of the full state dict in float32 (REFERENCE 7.2 step 6)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

blend: Callable[[list[Tensor], list[Tensor], float], None] = torch._foreach_lerp_
"""``averages += share * (weights - averages)``; `recur.native` puts a compiled one here, with the same bits."""


class Ema:
    """``e = d*e + (1-d)*p`` over every state-dict entry, started from the given weights, no bias correction.

    Computed as ``e + (1-d)*(p-e)``: each average is read and written once, and weights that rest stay as they are.

    Args:
        model: whose state dict is followed.
        decay: ``d``, per optimizer step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        live = {name: t.detach() for name, t in model.state_dict().items()}
        self.average = {name: t.to(torch.float32, copy=True) for name, t in live.items()}
        self._live = list(live.values())

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights in."""
        blend(list(self.average.values()), [t.float() for t in self._live], 1 - self.decay)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights, float32, in state-dict order."""
        return dict(self.average)

    def put_back(self, state: dict[str, Tensor]) -> None:
        """Put a state of `state` back."""
        for name, average in self.average.items():
            average.copy_(state[name])
