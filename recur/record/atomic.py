"""Files that are whole or absent: temporary name in the same folder, fsync, rename, fsync of the folder.

Provides the only writer of results, records and heartbeats, the reader that names the file when it is not JSON, and
the hash of a file. Source: POSIX rename(2) is atomic within one file system. A full or read-only disk is a
`StorageError`; the temporary file is removed, and what was there before stays as it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recur.errors import ArtifactError, StorageError

_CHUNK_BYTES = 1 << 20
_DIGEST_BYTES = 32


def storage_error(path: Path, cause: OSError) -> StorageError:
    """The one line for a write to ``path`` that the system refused."""
    reason = cause.strerror or type(cause).__name__
    return StorageError(str(path), f"cannot be written ({reason})", "free space there or choose another --out")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it onto ``path``.

    Args:
        path: the file to make or replace; its folder is made if it is missing.
        write: called with the temporary path; it must leave a regular file there.

    Raises:
        StorageError: the disk is full, read-only or not permitted; nothing half-written is left.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            fsync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync(path.parent)
    except OSError as e:
        raise storage_error(path, e) from e


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Make or replace ``path`` with ``data`` (see `write_atomic`)."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_sealed(path: Path, data: bytes) -> None:
    """As `write_bytes_atomic`, with the data's sha256 in front, for `read_sealed`."""
    write_bytes_atomic(path, hashlib.sha256(data).digest() + data)


def read_sealed(path: Path) -> bytes | None:
    """What `write_sealed` wrote; None where there is no such file, it cannot be read, or its bytes have changed."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    digest, data = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    return data if digest == hashlib.sha256(data).digest() else None


def write_json_atomic(path: Path, value: object) -> None:
    """Make or replace ``path`` with indented UTF-8 JSON and a final newline; non-finite numbers become null.

    Args:
        path: the file.
        value: mappings with string keys, sequences, strings, numbers, booleans, None (`finite` is applied).

    Raises:
        StorageError: as `write_atomic`.
        TypeError: a value that JSON does not have.
    """
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes_atomic(path, (text + "\n").encode())


def read_json(path: Path) -> object:
    """The JSON value in ``path``.

    Raises:
        ArtifactError: the file is not JSON.
        FileNotFoundError: there is no such file.
    """
    try:
        value: object = json.loads(path.read_bytes())
    except ValueError as e:
        raise ArtifactError(str(path), f"is not JSON ({e})", "delete the file; what made it will make it again") from e
    return value


def finite(value: object) -> object:
    """``value`` with NaN and infinities as None, tuples as lists: what JSON can carry.

    JSON has no NaN; a metric that is null was reported but was not a number.
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [finite(v) for v in value]
    return value


def fsync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of the file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while piece := f.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
