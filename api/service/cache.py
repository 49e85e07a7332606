"""A small memory of answers that cost something, by a key that changes when the answer does."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")


class Cache:
    """The latest ``size`` answers; safe to use from any thread."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The answer kept under ``key``, or what ``make`` gives (it may run twice at once; both are the same)."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(T, self._kept[key])
        made = make()
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made


class InProgress:
    """Names of what is being worked on; each can be taken by one at a time."""

    def __init__(self) -> None:
        self._names: set[Hashable] = set()
        self._lock = threading.Lock()

    def begin(self, name: Hashable) -> bool:
        """Take a name; False when somebody has it."""
        with self._lock:
            if name in self._names:
                return False
            self._names.add(name)
            return True

    def end(self, name: Hashable) -> None:
        """Give it back."""
        with self._lock:
            self._names.discard(name)
