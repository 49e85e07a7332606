"""A flag that a signal handler may set.

`threading.Event.set` may not be called from one: the handler runs in the thread that waits, perhaps while that thread holds the
event's own lock, and then both wait for ever (docs/log.md, 2026-11-28).
"""

from __future__ import annotations

import time

SLICE_S = 0.05


class Flag:
    """Unset at first; once set it stays so."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Set it; from anywhere."""
        self._set = True

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep so long at most; True, within `SLICE_S`, when it is set."""
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while not self._set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))
        return self._set
