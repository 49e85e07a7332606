"""Warm-up steps that leave no trace: everything they touch is saved, restored and proven equal by hash.

Source: REFERENCE 7.1, RULES B2 (7): warm-up is off the clock only if the state is the same before and after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recur.data.loader import WindowLoader
from recur.errors import RecurError
from recur.optim.optimizers import Optimizers
from recur.train.step import Stepper


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, GeneratorStates):
        _update(digest, [value.torch_cpu, value.torch_device, value.numpy_legacy])
    elif isinstance(value, dict):
        for key in value:
            digest.update(str(key).encode())
            _update(digest, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            _update(digest, item)
    elif isinstance(value, np.ndarray):
        digest.update(value.tobytes())
    else:
        digest.update(json.dumps(value, default=str).encode())


def state_hash(model: nn.Module, optimizers: Optimizers, loader: WindowLoader) -> str:
    """sha256 over parameters, optimizer states, loader cursor and the random generators of torch and numpy."""
    digest = hashlib.sha256()
    _update(digest, model.state_dict())
    _update(digest, optimizers.state_dict())
    _update(digest, loader.cursor())
    _update(digest, GeneratorStates.now(next(model.parameters()).device))
    return digest.hexdigest()


@dataclass(frozen=True)
class GeneratorStates:
    """States of every random generator that training could draw from."""

    torch_cpu: Tensor
    torch_device: Tensor | None
    numpy_legacy: Any

    @classmethod
    def now(cls, device: torch.device) -> GeneratorStates:
        on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), on_device, np.random.get_state(legacy=False))

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.torch_cpu)
        np.random.set_state(self.numpy_legacy)
        if self.torch_device is not None:
            torch.cuda.set_rng_state(self.torch_device, device)


def warm_up(
    stepper: Stepper,
    make_loader: Callable[[], WindowLoader],
    *,
    steps: int,
    deep_steps: int,
    momentum: Callable[[int], float],
) -> str:
    """Run throw-away steps on real batches, then put everything back.

    Args:
        stepper: model, optimizers and ranks.
        make_loader: builds the run's loader at its first position.
        steps: steps with recurrence as it stands (off).
        deep_steps: further steps with recurrence on, which compile the deeper graph.
        momentum: of the matrix optimizer, by warm-up index.

    Returns:
        The state hash, equal before and after.

    Raises:
        RecurError: something was not restored.
    """
    model, optimizers = stepper.model, stepper.optimizers
    before = state_hash(model, optimizers, make_loader())
    weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    saved, generators = optimizers.state_dict(), GeneratorStates.now(stepper.device)
    loader = make_loader()
    active = model.recurrence_active
    for index in range(steps + deep_steps):
        model.set_recurrence(active or index >= steps)
        batches = (loader.next_batch() for _ in range(stepper.accum))
        stepper.step(batches, multiplier=1.0, momentum=momentum(index))
    model.set_recurrence(active)
    model.load_state_dict(weights)
    optimizers.load_state_dict(saved)
    generators.restore(stepper.device)
    after = state_hash(model, optimizers, make_loader())
    if before != after:
        raise RecurError(f"warm-up left a trace: state hash {before[:16]} before, {after[:16]} after")
    return after
