"""Writes checkpoints off the training thread, one at a time; a write that fails is told and tried again at the next one."""

from __future__ import annotations

import logging
import threading

from recur.train.loop import Field
from recur.train.resume.store import CheckpointStore

_log = logging.getLogger(__name__)
News = tuple[str, dict[str, Field]]


class Keeper:
    """One rank's writer.

    Args:
        store: where checkpoints go.
        rank: ours; rank 0 also removes old ones.
    """

    def __init__(self, store: CheckpointStore, rank: int) -> None:
        self.store, self.rank = store, rank
        self._thread: threading.Thread | None = None
        self._news: list[News] = []

    @property
    def busy(self) -> bool:
        """Whether the last checkpoint is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, step: int, tree: object) -> None:
        """Write ``tree``, of which nobody else may change a tensor, in a thread of its own."""
        self._thread = threading.Thread(target=self._write, args=(step, tree), name=f"checkpoint-r{self.rank}")
        self._thread.start()

    def news(self) -> list[News]:
        """Events since the last call: ``checkpoint`` or ``checkpoint_failed``; called by the training thread."""
        news, self._news = self._news, []
        return news

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._thread is not None:
            self._thread.join()

    def _write(self, step: int, tree: object) -> None:
        try:
            self.store.write(step, self.rank, tree)
            if self.rank == 0:
                self.store.prune()
        except Exception as error:  # noqa: BLE001 whatever it is, training goes on and its log says so
            _log.warning("checkpoint_failed step=%d rank=%d error=%s", step, self.rank, error)
            self._news = [*self._news, ("checkpoint_failed", {"step": step, "reason": str(error)})]
        else:
            self._news = [*self._news, ("checkpoint", {"step": step})]
