"""Who we are among the training processes, and the few collectives the science needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Rank and world size; with ``world > 1`` torch's default process group must be initialised."""

    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over ranks in place; one collective per dtype."""
        if self.world == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for tensor in tensors:
            by_dtype[tensor.dtype].append(tensor)
        for group in by_dtype.values():
            flat = torch.cat([t.reshape(-1) for t in group])
            dist.all_reduce(flat)
            for tensor, part in zip(group, torch.split(flat, [t.numel() for t in group]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def mean_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Average each tensor over ranks in place."""
        self.sum_tensors(tensors)
        if self.world > 1:
            torch._foreach_div_(list(tensors), float(self.world))

    def scatter_mean(self, slots: Tensor) -> Callable[[], Tensor]:
        """Begin to average ``slots`` [world * n, ...] over ranks, of which rank ``r`` gets the ``r``-th n; waits when called.

        ``slots`` is used up.
        """
        if self.world == 1:
            return lambda: slots
        own = slots.new_empty(len(slots) // self.world, *slots.shape[1:])
        return _waiting(dist.reduce_scatter_single(own, slots.div_(self.world), async_op=True), own)

    def gather_slots(self, own: Tensor) -> Callable[[], Tensor]:
        """Begin to bring all ranks' ``own`` [n, ...] together as [world * n, ...]; waits when called."""
        if self.world == 1:
            return lambda: own
        slots = own.new_empty(len(own) * self.world, *own.shape[1:])
        return _waiting(dist.all_gather_single(slots, own.contiguous(), async_op=True), slots)

    def sum_floats(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Sums over ranks in float64."""
        total = torch.tensor(values, dtype=torch.float64, device=device)
        if self.world > 1:
            dist.all_reduce(total)
        return [float(v) for v in total.tolist()]

    def max_float(self, value: float, device: torch.device) -> float:
        """Largest value over ranks; also waits for the device, so that a clock read next to it means something."""
        if self.world == 1:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return value
        top = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(top, op=dist.ReduceOp.MAX)
        return float(top.item())


def _waiting(work: Any, result: Tensor) -> Callable[[], Tensor]:
    def wait() -> Tensor:
        work.wait()
        return result

    return wait
