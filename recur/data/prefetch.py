"""A thread that builds the next batches while a step runs, so that training does not wait for its loader.

Source: PERFORMANCE B3 (2). The batches are the loader's own, in its order; with ``pin`` they lie in page-locked memory, from
which a copy to a GPU runs beside other work.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

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
        self.loader, self._thread, self._pin = loader, thread, pin
        self._coming: deque[Future[Batch]] = deque()

    def next_batch(self) -> Batch:
        """The next batch. Raises what the loader has raised in building it."""
        while len(self._coming) <= AHEAD:
            self._coming.append(self._thread.submit(self._build))
        return self._coming.popleft().result()

    def _build(self) -> Batch:
        batch = self.loader.next_batch()
        return Batch(batch.x_BT.pin_memory(), batch.y_BT.pin_memory()) if self._pin else batch
