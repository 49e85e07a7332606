"""The slowest rank's number of the step before, so that no step waits for a rank or a device.

Source: PERFORMANCE B3 (2); the reference (REFERENCE 7.2) waits in every step. The numbers go over the hosts' network while
the next step runs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from recur.train.ranks import Ranks


class LaggedVotes:
    """`Ranks.max_float` one call late; every rank makes its own at the same time and calls it after every step."""

    def __init__(self, ranks: Ranks) -> None:
        self._group = dist.new_group(backend="gloo") if ranks.world > 1 else None
        self._said = torch.zeros(1)
        self._coming: Any = None
        self._step: Any = None

    def max_float(self, value: float, device: torch.device) -> float:
        """The largest value of the last call, 0 in the first; on CUDA the host gets one step ahead of the device, no more."""
        if device.type == "cuda":
            before, self._step = self._step, torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._step.record()
            if before:
                before.synchronize()
        if self._coming:
            self._coming.wait()
        said = float(self._said)
        self._said = torch.tensor([value])
        if self._group:
            self._coming = dist.all_reduce(self._said, dist.ReduceOp.MAX, self._group, async_op=True)
        return said
