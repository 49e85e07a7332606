"""Where a seed's work runs: the small interface, and its one-process form without Ray."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch

from recur import native
from recur.pipeline.training import train_attempt
from recur.record.attempt import AttemptDir
from recur.seedspec import SeedSpec
from recur.train.ranks import Ranks

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int], None]
"""Told how many items of a map are done."""


class Backend(Protocol):
    """Where training runs, and where independent items are mapped to."""

    def train(self, spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
        """Train and calibrate: leaves the checkpoint of `recur.train.checkpoint` in the attempt's folder.

        Returns:
            Placement: where it ran (JSON values).
        """

    def map(
        self,
        fn: Callable[[T], R],
        items: Sequence[T],
        *,
        names: Sequence[str],
        progress: Progress,
        on_device: bool = False,
    ) -> list[R]:
        """``[fn(item) for item in items]``, anywhere and in any order.

        Args:
            fn: a module-level function; it may run more than once for an item.
            items: its arguments.
            names: one a piece, for people, e.g. ``gptq[seed=42 blocks.3.mlp.fc]``.
            progress: called with the number of finished items.
            on_device: whether ``fn`` uses an accelerator where there is one.
        """


def default_device() -> torch.device:
    """The first visible CUDA device, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


class LocalBackend:
    """Everything in this process, world size 1."""

    def train(self, spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
        """See `Backend.train`."""
        device = default_device()
        opened = train_attempt(spec, ranks=Ranks(), device=device)
        rank = {"host": socket.gethostname(), "device": device_name(device), "val_opens": opened.fields}
        return {"world_size": 1, "backend": "local", "ranks": [rank]}

    def map(
        self,
        fn: Callable[[T], R],
        items: Sequence[T],
        *,
        names: Sequence[str],
        progress: Progress,
        on_device: bool = False,
    ) -> list[R]:
        """See `Backend.map`; in order."""
        native.enable()
        results: list[R] = []
        for item in items:
            results.append(fn(item))
            progress(len(results))
        return results


def device_name(device: torch.device) -> str:
    """Name of the device for reports, e.g. ``NVIDIA H100 80GB HBM3`` or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
