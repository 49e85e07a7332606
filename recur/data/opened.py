"""Which validation files a process opens, and whether that was for a logged validation (RULES B2, row 4).

A training process is handed `OpenedFiles.read_validation` as its only way to validation text; Python's audit hook counts every
other opening of those files. What native code opens without Python is not seen; our readers all open through Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from recur.data.dataset import Dataset, validation_tokens
from recur.data.shards import TokensU16

_watching: list[OpenedFiles] = []
_state = {"installed": False}
"""An audit hook cannot be removed, so a process gets one, which does nothing while nobody watches."""


class OpenedFiles:
    """Counts openings of ``files`` inside its ``with`` block: those through `read_validation`, and all others.

    Args:
        files: the validation shards.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {os.path.realpath(file) for file in files}
        self._validating = False
        self.validation = 0
        self.other = 0

    def __enter__(self) -> OpenedFiles:
        if not _state["installed"]:
            sys.addaudithook(_hook)
            _state["installed"] = True
        _watching.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _watching.remove(self)

    def read_validation(self, dataset: Dataset, seq_len: int) -> TokensU16:
        """`recur.data.dataset.validation_tokens`, for a validation whose score is logged."""
        self._validating = True
        try:
            return validation_tokens(dataset, seq_len)
        finally:
            self._validating = False

    def note(self, path: str) -> None:
        """Count one opening."""
        if os.path.realpath(path) not in self._files:
            return
        if self._validating:
            self.validation += 1
        else:
            self.other += 1

    @property
    def fields(self) -> dict[str, int]:
        """The counts for the train record."""
        return {"validation": self.validation, "other": self.other}


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _watching:
        return
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike):
        for watcher in _watching:
            watcher.note(os.fsdecode(path))
