"""Append-only JSON lines: progress events, and what was trained on and scored when.

One JSON object a line, each line written with one call and flushed. A line without its newline was cut off by a kill:
readers leave it out, and the next append by the file's single writer removes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recur.errors import ArtifactError
from recur.record.atomic import finite, storage_error

_RESERVED = ("at", "kind")
_OF_STEPS = ("step", "val", "recurrence")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line: when (seconds since 1970), what, and its numbers."""

    at: float
    kind: str
    fields: dict[str, object]

    def number(self, name: str) -> float | None:
        """The field as a float; None where it is absent or not a number."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) else None


def append_line(path: Path, kind: str, fields: Mapping[str, object], *, at: float) -> None:
    """Append ``{"at", "kind", **fields}`` to ``path`` and flush; non-finite numbers become null.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        ValueError: a field is named ``at`` or ``kind``.
    """
    if clash := [name for name in _RESERVED if name in fields]:
        raise ValueError(f"event field {clash[0]!r} is reserved")
    row = finite({"at": at, "kind": kind, **fields})
    line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as f:
            _drop_unfinished_line(f.fileno())
            f.write(line)
    except OSError as e:
        raise storage_error(path, e) from e


def _drop_unfinished_line(handle: int) -> None:
    """Cut the file behind its last newline, if it does not end with one."""
    size = os.fstat(handle).st_size
    if size == 0 or os.pread(handle, 1, size - 1) == b"\n":
        return
    whole = os.pread(handle, size, 0)
    os.ftruncate(handle, whole.rfind(b"\n") + 1)


def read_events(path: Path) -> list[Event]:
    """All whole lines of a journal, in order; an unfinished last line is left out; no file, no events.

    Raises:
        ArtifactError: a whole line that is not an event.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_event(line, f"{path}:{i}") for i, line in enumerate(lines, 1)]


def without_redone(events: Sequence[Event]) -> list[Event]:
    """The events of one straight run: what was told of steps that were made again after a ``resumed`` event is left out."""
    kept: list[Event] = []
    for event in events:
        if event.kind == "resumed" and (step := event.number("step")) is not None:
            kept = [e for e in kept if e.kind not in _OF_STEPS or (e.number("step") or 0.0) <= step]
        kept.append(event)
    return kept


def _event(line: bytes, where: str) -> Event:
    remedy = "delete the file; nothing but reports reads it"
    try:
        row = json.loads(line)
    except ValueError as e:
        raise ArtifactError(where, "is not a JSON line", remedy) from e
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str) or not isinstance(row.get("at"), int | float):
        raise ArtifactError(where, "is not an event with `at` and `kind`", remedy)
    return Event(at=float(row.pop("at")), kind=row.pop("kind"), fields=row)
