"""A folder that is either whole or absent: built under a temporary name beside its target, synced, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recur.errors import StorageError

MANIFEST = "dataset.json"


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` when the block ends well; otherwise nothing is left.

    When another process has finished the same target meanwhile, its result stands and this one is dropped.

    Raises:
        StorageError: the folder cannot be made or written (no space, no permission, a file in the way).
    """
    staging = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            staging.mkdir(parents=True)
            yield staging
            _publish(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise storage_error(target.parent, error) from error


def storage_error(folder: Path, error: OSError) -> StorageError:
    """The one-line form of a failed write below `folder`."""
    return StorageError(
        f"folder {folder}", f"cannot be written ({error.strerror or error})", "free space or choose another --out"
    )


def _publish(staging: Path, target: Path) -> None:
    for path in [*staging.rglob("*"), staging]:
        sync(path)
    try:
        staging.rename(target)
    except OSError:
        if not (target / MANIFEST).exists():
            raise
    sync(target.parent)


def sync(path: Path) -> None:
    """Flush one file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
