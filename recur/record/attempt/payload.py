"""The files of a phase: named, hashed, checked and handed on to a later attempt."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recur.errors import ArtifactError
from recur.record.atomic import fsync, sha256_of, write_atomic


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One file of a phase: its path inside the attempt's folder, its size and its hash."""

    file: str
    size_bytes: int
    sha256: str


def inside(folder: Path, name: str) -> Path:
    """``folder / name``.

    Raises:
        ArtifactError: ``name`` is absolute, empty or leads out of the folder.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise ArtifactError(f"payload {name!r}", "must lie inside the attempt's folder", "use a relative name")
    return folder / relative


def hash_payloads(folder: Path, name: str) -> list[Payload]:
    """The payload ``name`` of ``folder``, forced to the disk and hashed; a folder's name stands for all files below it.

    Raises:
        OSError: there is no such file.
    """
    path = inside(folder, name)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        fsync(file)
    return [Payload(file=f.relative_to(folder).as_posix(), size_bytes=f.stat().st_size, sha256=sha256_of(f)) for f in files]


def check_payload(path: Path, payload: Payload) -> None:
    """Compare a file with its entry in a record.

    Raises:
        ArtifactError: missing, or another size or hash; the line names the file and both hashes.
    """
    check_file(path, payload.sha256)
    if (size_bytes := path.stat().st_size) != payload.size_bytes:
        rule = f"has {size_bytes} bytes, but its record says {payload.size_bytes}"
        raise ArtifactError(str(path), rule, _remedy(path))


def check_file(path: Path, sha256: str) -> None:
    """Compare a file with the hash it had when it was written.

    Raises:
        ArtifactError: missing, or another hash; the line names the file and both hashes.
    """
    if not path.is_file():
        raise ArtifactError(str(path), f"is missing (recorded sha256 {sha256})", _remedy(path))
    if (found := sha256_of(path)) != sha256:
        rule = f"is damaged: sha256 {found} ({path.stat().st_size} bytes), recorded {sha256}"
        raise ArtifactError(str(path), rule, _remedy(path))


def _remedy(path: Path) -> str:
    return f"delete the folder {path.parent} and run the seed again"


def hand_on(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link, or a copy where there are none.

    Raises:
        StorageError: the disk is full or not writable.
    """

    def make(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, temporary)

    write_atomic(target, make)
