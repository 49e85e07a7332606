"""The sign of life of an attempt: heartbeat.json, replaced every few seconds by a thread and on demand.

A heartbeat is replaced atomically, so a reader sees the old or the new one, never half of it. The watcher compares its
`at` with its own clock (ARCHITECTURE: 5 s).
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from recur.errors import StorageError
from recur.record.attempt.folder import AttemptDir

_log = logging.getLogger(__name__)


class Heartbeat:
    """A daemon thread that writes the latest fields of one attempt; use it as a context manager.

    A beat that the disk refuses is logged and counted in ``failures`` and tried again at the next interval: a
    monitoring file must not end a run. Payloads and records do raise.

    Args:
        attempt: whose heartbeat.json to write.
        interval_s: seconds between two beats.
    """

    def __init__(self, attempt: AttemptDir, *, interval_s: float = 5.0) -> None:
        self.failures = 0
        self._attempt = attempt
        self._interval_s = interval_s
        self._fields: dict[str, object] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-s{attempt.seed}", daemon=True)

    def update(self, **fields: object) -> None:
        """Merge ``fields`` (phase, step, steps, loss, tokens_per_s, mfu, ...) into what the next beat writes."""
        with self._lock:
            self._fields.update(fields)

    def beat(self, **fields: object) -> None:
        """Merge ``fields`` and write now."""
        self.update(**fields)
        with self._writing:
            with self._lock:  # held for the copy only: the training loop's update() never waits for the disk
                latest = dict(self._fields)
            try:
                self._attempt.heartbeat(latest)
            except StorageError as e:
                self.failures += 1
                _log.warning("heartbeat_failed seed=%d failures=%d error=%s", self._attempt.seed, self.failures, e)

    def start(self) -> None:
        """Write the first beat and start the thread."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Write the last beat and end the thread; may be called more than once."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._thread.join()
        self.beat()

    def __enter__(self) -> Heartbeat:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self.beat()
