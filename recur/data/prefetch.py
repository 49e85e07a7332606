"""A thread that builds the next batches while a step runs, so that training does not wait for its loader.

Source: PERFORMANCE B3 (2). The batches are the loader's own, in its order; with ``pin`` they lie in page-locked memory, from
which a copy to a GPU runs beside other work.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from recur.data.loader import Batch, WindowLoader

AHEAD = 2
"""Batches that are ready or being built."""


class Prefetcher:
    """Hands on a loader's batches.

    Args:
        loader: from now on the thread's alone.
        thread: an executor of one thread, which the caller ends.
        pin: put batches into page-locked memory.
    """

    def __init__(self, loader: WindowLoader, thread: ThreadPoolExecutor, *, pin: bool) -> None:
        self._loader, self._thread, self._pin, self._state = loader, thread, pin, loader.state()
        self._coming: deque[Future[tuple[Batch, dict[str, Any]]]] = deque()

    def next_batch(self) -> Batch:
        """The next batch. Raises what the loader has raised in building it."""
        while len(self._coming) <= AHEAD:
            self._coming.append(self._thread.submit(self._build))
        batch, self._state = self._coming.popleft().result()
        return batch

    def state(self) -> dict[str, Any]:
        """The loader's state after the last batch that was handed on, whatever has been built beyond it."""
        return self._state

    def _build(self) -> tuple[Batch, dict[str, Any]]:
        batch = self._loader.next_batch()
        if self._pin:
            batch = Batch(batch.x_BT.pin_memory(), batch.y_BT.pin_memory())
        return batch, self._loader.state()
