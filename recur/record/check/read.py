"""Reads a folder that nobody vouches for: no link is followed, sizes are bounded, bad bytes become findings.

Provides the listing of a folder and its text files. A link, a pipe or device, a file or folder too large, a name that
is no text: each is a finding and is left alone. Nothing here raises for what the folder holds.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recur.errors import InputError
from recur.record.check.finding import Finding, error, warning

_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
MAX_TEXT_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 2000
MAX_DEPTH = 4
MAX_LINE_CHARS = 4000


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text file: its name inside the folder, its text, its size on the disk, and what was odd about it."""

    name: str
    text: str
    size_bytes: int
    findings: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """The lines without their ends, each cut at 4,000 characters; line ``i`` is number ``i + 1``."""
        return [line.rstrip("\r")[:MAX_LINE_CHARS] for line in self.text.split("\n")]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Regular files below a folder, by their path inside it, with their bytes, and what was left alone."""

    root: Path
    files: dict[str, int]
    findings: tuple[Finding, ...]


def list_folder(root: Path) -> Listing:
    """The regular files below ``root``, at most 2,000 and four folders deep; no link is followed.

    Raises:
        InputError: ``root`` is not a folder, or cannot be opened.
    """
    if not root.is_dir():
        raise InputError(str(root), "is not a folder", "name the folder of one submission")
    files: dict[str, int] = {}
    findings: list[Finding] = []
    for entry in _walk(root, root, 1):
        if isinstance(entry, Finding):
            findings.append(entry)
            continue
        if len(files) >= MAX_ENTRIES:
            findings.append(
                error("too_many_files", f"more than {MAX_ENTRIES} files; the rest is not read", "ship one submission")
            )
            break
        files[entry.name] = entry.size_bytes
    return Listing(root=root, files=files, findings=tuple(findings))


@dataclass(frozen=True, kw_only=True)
class _File:
    name: str
    size_bytes: int


def _walk(root: Path, folder: Path, depth: int) -> Iterator[_File | Finding]:
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as e:
        if folder == root:
            raise InputError(str(root), f"cannot be read ({e.strerror})", "check its permissions") from e
        yield error("unreadable", f"folder cannot be read ({e.strerror})", "check its permissions", file=_name(root, folder))
        return
    for entry in entries:
        path = Path(entry.path)
        name = _name(root, path)
        if entry.is_symlink():
            yield error("link", f"is a link to {_target(path)!r}; not followed", "ship the file itself", file=name)
        elif entry.is_dir(follow_symlinks=False):
            if depth >= MAX_DEPTH:
                yield warning("too_deep", "folder nested too deep; not read", "keep the folder flat", file=name)
            elif entry.name not in (".git", "__pycache__"):
                yield from _walk(root, path, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield _sized(name, entry)
        else:
            yield error("not_a_file", "is a pipe, socket or device; not read", "ship regular files", file=name)


def _sized(name: str, entry: os.DirEntry[str]) -> _File | Finding:
    try:
        return _File(name=name, size_bytes=entry.stat(follow_symlinks=False).st_size)
    except OSError as e:
        return error("unreadable", f"cannot be read ({e.strerror})", "check its permissions", file=name)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _target(path: Path) -> str:
    try:
        return str(path.readlink())[:200]
    except OSError:
        return "?"


def read_text(listing: Listing, name: str) -> Text | None:
    """The text of one listed file; None where the folder has no such file.

    A file that is too large or cannot be opened gives an empty text with a finding; bytes that are no UTF-8 are
    replaced and reported with their line.
    """
    if name not in listing.files:
        return None
    size = listing.files[name]
    if size > MAX_TEXT_BYTES:
        large = error("too_large", f"{size} bytes are more than {MAX_TEXT_BYTES}; not read", "ship text, not data", file=name)
        return Text(name=name, text="", size_bytes=size, findings=(large,))
    try:
        data = _bytes(listing.root / name)
    except OSError as e:
        failed = error("unreadable", f"cannot be read ({e.strerror})", "check its permissions", file=name)
        return Text(name=name, text="", size_bytes=size, findings=(failed,))
    return _decoded(name, data)


def _bytes(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as f:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        return f.read(MAX_TEXT_BYTES)


def _decoded(name: str, data: bytes) -> Text:
    encoding = _declared(data) if name.endswith(".py") else "utf-8-sig"
    try:
        return Text(name=name, text=data.decode(encoding), size_bytes=len(data))
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        bad = error("not_utf8", f"byte {data[e.start]:#04x} is not UTF-8", "save the file as UTF-8", file=name, line=line)
        text = data.decode("utf-8-sig", errors="replace")
        return Text(name=name, text=text, size_bytes=len(data), findings=(bad,))


def _declared(data: bytes) -> str:
    """The encoding that a Python source names in its first two lines (PEP 263), of the two that are read: Latin-1, UTF-8."""
    lines = [line.decode("latin-1") for line in data[:400].split(b"\n")[:2]]
    named = next((m.group(1) for line in lines if (m := _CODING.match(line))), "")
    return "latin-1" if named.lower().replace("_", "-") in ("latin1", "latin-1", "iso-8859-1", "iso8859-1", "l1") else "utf-8-sig"
