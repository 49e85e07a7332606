"""A thread that builds the next batches while a step runs, so that training does not wait for its loader.

Source: PERFORMANCE B3 (2). The batches are the loader's own, in its order; with ``pin`` they lie in page-locked memory, from
which a copy to a GPU runs beside other work.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from recur.data.loader import Batch, WindowLoader

AHEAD = 4
"""Batches that are built at a time, while as many are handed on: waking the thread is most of what is left to wait for."""


class Prefetcher:
    """Hands on a loader's batches.

    Args:
        loader: from now on the thread's alone.
        thread: an executor of one thread, which the caller ends.
        pin: put batches into page-locked memory.
    """

    def __init__(self, loader: WindowLoader, thread: ThreadPoolExecutor, *, pin: bool) -> None:
        self.loader, self._thread, self._pin = loader, thread, pin
        self._ready: list[Batch] = []
        self._coming = thread.submit(self._some)

    def next_batch(self) -> Batch:
        """The next batch. Raises what the loader has raised in building it or one of the few behind it."""
        if not self._ready:
            self._ready += self._coming.result()
            self._coming = self._thread.submit(self._some)
        return self._ready.pop(0)

    def _some(self) -> list[Batch]:
        return [self._build() for _ in range(AHEAD)]

    def _build(self) -> Batch:
        batch = self.loader.next_batch()
        return Batch(batch.x_BT.pin_memory(), batch.y_BT.pin_memory()) if self._pin else batch
