"""What training tells while it runs: every event goes to progress.jsonl, the latest numbers to heartbeat.json."""

from __future__ import annotations

import socket
from types import TracebackType

from recur.record.attempt import AttemptDir, Heartbeat

_SHOWN = ("phase", "step", "steps", "loss", "tokens_per_s", "flops_per_s", "val_bpb", "val_loss")


class AttemptObserver:
    """Observer of one training (rank 0); use it as a context manager around the training.

    Args:
        attempt: whose files to write.
        interval_s: seconds between two heartbeats.
    """

    def __init__(self, attempt: AttemptDir, *, interval_s: float = 5.0) -> None:
        self._attempt = attempt
        self._beats = Heartbeat(attempt, interval_s=interval_s)
        self._beats.update(phase="setup", host=socket.gethostname())

    def event(self, kind: str, fields: dict[str, float | int | str]) -> None:
        """Record one event; `recur.train.loop.Observer`."""
        self._attempt.append_event(kind, fields)
        shown = {name: fields[name] for name in _SHOWN if name in fields}
        if kind == "phase":
            self._beats.beat(**shown)
        else:
            self._beats.update(**shown)

    def __enter__(self) -> AttemptObserver:
        self._beats.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._beats.stop()
