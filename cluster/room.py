"""How many seeds may run at a time, asked anew while one waits: nodes come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cluster.job_client import JobsUnreachable
from recur.errors import PlacementError

COUNT_EVERY_S = 5.0
_log = logging.getLogger(__name__)


class Room:
    """The last count, and since when there has been room for none.

    Args:
        count: slots; raises PlacementError where no node can hold a seed, JobsUnreachable where nobody answers.
        clock: seconds.

    Attributes:
        why: why nothing can start at all; None while there is room, taken or free.
    """

    def __init__(self, count: Callable[[], int], clock: Callable[[], float]) -> None:
        self._count, self._clock = count, clock
        self._slots, self._counted_at = 0, float("-inf")
        self._none_since: float | None = None
        self.why: str | None = None

    def slots(self) -> int:
        """Seeds at a time; 0 while there is room for none or nobody answers."""
        now = self._clock()
        if now - self._counted_at < COUNT_EVERY_S:
            return self._slots
        self._counted_at, self._slots, why, since = now, 0, None, None
        try:
            self._slots = self._count()
        except JobsUnreachable:
            why = "the job system does not answer"  # which says nothing about the room
        except PlacementError as error:
            why, since = str(error), self._none_since or now
        if why != self.why:
            _log.warning("room=%s", why or f"{self._slots} slots")
        self.why, self._none_since = why, since
        return self._slots

    def count_again(self) -> None:
        """The next call of `slots` asks, however short ago it was."""
        self._counted_at = float("-inf")

    def lasted_s(self) -> float:
        """How long there has been room for none; 0 while there is."""
        return 0.0 if self._none_since is None else self._clock() - self._none_since
