"""Prefetching that knows the loader's state behind the batches it has built ahead, which a checkpoint needs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from recur.data.loader import Batch, WindowLoader
from recur.data.prefetch import Prefetcher


class TrackedPrefetcher(Prefetcher):
    """A prefetcher that keeps the loader's state after every batch; arguments as `Prefetcher`."""

    def __init__(self, loader: WindowLoader, thread: ThreadPoolExecutor, *, pin: bool) -> None:
        self._state, self._states = loader.cursor(), deque[dict[str, Any]]()
        super().__init__(loader, thread, pin=pin)

    def next_batch(self) -> Batch:
        """As `Prefetcher.next_batch`."""
        batch = super().next_batch()
        self._state = self._states.popleft()
        return batch

    def cursor(self) -> dict[str, Any]:
        """The loader's state after the last batch that was handed on, whatever has been built beyond it."""
        return self._state

    def _build(self) -> Batch:
        batch = super()._build()
        self._states.append(self.loader.cursor())
        return batch
