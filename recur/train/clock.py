"""The training clock: what counts against the 600 s, with an injected time source.

Source: REFERENCE 7.2, RULES B2 (2). Validation stops the clock; everything that reads training data runs on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Elapsed seconds since construction, minus the pauses.

    Args:
        now: monotonic time in seconds; a test gives a fake.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._before = 0.0
        self._started = now()

    def elapsed_s(self) -> float:
        """Seconds on the clock; reads the time source once."""
        return self._before + (self._now() - self._started)

    def go_on_from(self, elapsed_s: float) -> None:
        """Start now with ``elapsed_s`` already on the clock."""
        self._before, self._started = elapsed_s, self._now()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for what happens inside."""
        self._before += self._now() - self._started
        try:
            yield
        finally:
            self._started = self._now()
