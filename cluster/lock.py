"""One process at a time: a lock on a file, which goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recur.errors import StorageError
from recur.record.atomic import storage_error


@contextmanager
def sole(path: Path, taken: StorageError, *, private: bool = False) -> Iterator[None]:
    """Hold the lock of ``path``, which is made with its folder where it is missing.

    Args:
        path: the file.
        taken: raised when another process holds the lock.
        private: a folder or file that is made is its owner's only.

    Raises:
        StorageError: ``taken``, or the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600 if private else 0o644)
    except OSError as error:
        raise storage_error(path.parent, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken from error
        yield
    finally:
        os.close(handle)
