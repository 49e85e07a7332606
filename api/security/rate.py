"""A token bucket for every key or address: `rate_per_minute` on the long run, `burst` at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from api.problems import Refused

_MOST_BUCKETS = 10_000
"""Oldest ones are forgotten beyond this: memory stays bounded whoever asks."""


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """Counts requests by name; safe to call from any thread.

    Args:
        rate_per_minute: 0 for no limit.
        burst: requests that may come at once.
        clock: seconds, growing.
    """

    def __init__(self, rate_per_minute: int, burst: int, clock: Callable[[], float]) -> None:
        self._per_s, self._burst, self._clock = rate_per_minute / 60, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Count one request of ``name``.

        Raises:
            Refused: 429 with Retry-After when it has used up what it may.
        """
        if self._per_s == 0:
            return
        with self._lock:
            now = self._clock()
            bucket = self._buckets.pop(name, None) or _Bucket(tokens=self._burst, at=now)
            bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._per_s)
            bucket.at = now
            self._buckets[name] = bucket
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return
            wait_s = ceil((1 - bucket.tokens) / self._per_s)
        detail = f"more than {self._per_s * 60:.0f} requests a minute"
        raise Refused(429, "too_many_requests", detail, f"wait {wait_s} s", headers={"Retry-After": str(wait_s)})
