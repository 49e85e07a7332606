"""The text that ships with every CPython: about 9 MB of module sources, docstrings, pydoc topics and the licence.

It needs no network and is the same on every machine with the same CPython. Left out: tests and their data, third-
party packages, tables that are no prose (character maps), build records that differ between machines, and files that
are not UTF-8. Each document is at most about 4 kB of whole lines, already in the tokenizer's normal form (nmt_nfkc,
spaces collapsed), so the scored bytes equal the raw ones; the order is by hash, so that any first n documents are a
fair sample.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import sentencepiece as spm

from recur.data.documents import Document
from recur.errors import DataError

DOCUMENT_CHARS = 4000
LEAST_CHARS = 200  # shorter documents (empty __init__ files) carry no prose
LEFT_OUT_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "_bundled", "lib2to3", "pydoc_data"}
)
LEFT_OUT_FILES = ("_sysconfigdata", "__phello__", "_pydecimal")
MUTABLE_MODULES = frozenset({"sys"})  # its hooks are replaced by other packages, so its members are no constant
TABLE_FOLDER = "encodings"
TABLE_FILES_KEPT = frozenset({"__init__.py", "idna.py", "punycode.py", "utf_8_sig.py", "uu_codec.py", "zlib_codec.py"})


def embedded_documents() -> list[Document]:
    """All documents, normalised, in their fixed shuffled order; equal texts occur once.

    Raises:
        DataError: this Python ships no sources (a frozen or stripped build).
    """
    normalizer = Normalizer()
    unique: dict[str, Document] = {}
    for raw in _raw_documents():
        text = normalizer.normalize(raw.text)
        if len(text) >= LEAST_CHARS:
            unique.setdefault(hashlib.sha256(text.encode()).hexdigest(), Document(raw.name, text))
    if not unique:
        raise DataError(f"stdlib of {sys.executable}", "holds no readable sources", "give --docs or use a complete CPython")
    return [unique[key] for key in sorted(unique)]


def origin() -> str:
    """Whose text it is, e.g. ``CPython 3.11.7``."""
    return f"{sys.implementation.name} {sys.version.split()[0]}".replace("cpython", "CPython")


class Normalizer:
    """SentencePiece's nmt_nfkc with spaces collapsed and kept as spaces, as the tokenizer of DATA G applies it."""

    def __init__(self) -> None:
        self._inner = spm.SentencePieceNormalizer(
            rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=True
        )

    def normalize(self, text: str) -> str:
        """The normal form of `text`; applying it twice changes nothing."""
        return cast(str, self._inner.normalize(text))


def _raw_documents() -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if _wanted(path.relative_to(root)):
            yield from _split(path.relative_to(root).as_posix(), _read(path))
    for licence in sorted([*root.glob("LICENSE*"), *root.parent.glob("LICENSE*")])[:1]:
        yield from _split("licence", _read(licence))
    for topic, text in sorted(_topics().items()):
        yield from _split(f"topic {topic}", text)
    for name in sorted({*sys.builtin_module_names} - MUTABLE_MODULES):
        yield from _split(f"docstrings of {name}", _docstrings(importlib.import_module(name)))


def _wanted(relative: Path) -> bool:
    if LEFT_OUT_FOLDERS.intersection(relative.parts) or relative.name.startswith(LEFT_OUT_FILES):
        return False
    return relative.parts[0] != TABLE_FOLDER or relative.name in TABLE_FILES_KEPT


def _read(path: Path) -> str:
    """The file's text; nothing when it is not UTF-8 (such files are left out)."""
    raw = path.read_bytes()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return ""


def _topics() -> dict[str, str]:
    return cast(dict[str, str], importlib.import_module("pydoc_data.topics").topics)


def _docstrings(module: ModuleType) -> str:
    """The docstrings of a built-in module, its classes and their methods, sorted by name."""
    found: dict[str, str] = {module.__name__: inspect.getdoc(module) or ""}
    for name, value in inspect.getmembers(module):
        if inspect.isclass(value):
            found[name] = value.__doc__ or ""
            members = ((f"{name}.{k}", v) for k, v in vars(value).items())
            found.update({k: v.__doc__ for k, v in members if inspect.isroutine(v) and v.__doc__})
        elif inspect.isbuiltin(value):
            found[name] = value.__doc__ or ""
    return "\n\n".join(f"{name}: {text}" for name, text in sorted(found.items()) if text) + "\n"


def _split(name: str, text: str) -> Iterator[Document]:
    """Runs of whole lines up to `DOCUMENT_CHARS`; in a run's second half a top-level statement starts the next one."""
    lines: list[str] = []
    size = first = 0
    for number, line in enumerate(text.splitlines(keepends=True)):
        fresh = line[:1].strip() != "" and size > DOCUMENT_CHARS // 2
        if lines and (fresh or size + len(line) > DOCUMENT_CHARS):
            yield Document(f"{name}:{first + 1}", "".join(lines))
            lines, size, first = [], 0, number
        lines.append(line)
        size += len(line)
    if lines:
        yield Document(f"{name}:{first + 1}", "".join(lines))
