"""What the checker says: one finding with its place and remedy, and the report of a folder with its exit status.

Levels: an `error` breaks a rule of the challenge or contradicts the folder's own logs, a `warning` is a doubt or a
missing custom, a `note` is a fact worth knowing. Notes and warnings alone leave the exit status 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Level(StrEnum):
    """How grave a finding is, gravest first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_ORDER = {level: i for i, level in enumerate(Level)}
_MAX_TEXT = 400
_MAX_OF_A_KIND = 50


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        level: how grave it is.
        code: its kind, stable, e.g. ``val_loss_not_mean``.
        file: file inside the folder, or ``.`` for the folder.
        line: line in that file, from 1; None where the finding has no line.
        message: value and rule.
        remedy: what to do.
    """

    level: Level
    code: str
    file: str
    line: int | None
    message: str
    remedy: str

    @property
    def where(self) -> str:
        """``file:line``, or the file alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All findings about a folder, gravest first; ``smoke`` holds what ``--smoke`` asked for."""

    folder: str
    findings: tuple[Finding, ...]
    smoke: dict[str, object] | None = None

    @property
    def exit_code(self) -> int:
        """1 with at least one error, else 0."""
        return int(any(f.level is Level.ERROR for f in self.findings))

    def count(self, level: Level) -> int:
        """Number of findings of ``level``."""
        return sum(f.level is level for f in self.findings)


def report(folder: str, findings: Iterable[Finding], smoke: dict[str, object] | None = None) -> Report:
    """A report with the findings sorted by level, file, line and kind.

    Equal findings are given once; of one kind in one file the first 50 are given, and how many more there are.
    """
    unique = sorted(dict.fromkeys(findings), key=_sort_key)
    kinds = Counter((f.level, f.code, f.file) for f in unique)
    given: Counter[tuple[Level, str, str]] = Counter()
    kept: list[Finding] = []
    for f in unique:
        kind = (f.level, f.code, f.file)
        given[kind] += 1
        if given[kind] <= _MAX_OF_A_KIND:
            kept.append(f)
        elif given[kind] == kinds[kind]:
            more = f"{kinds[kind] - _MAX_OF_A_KIND} more findings of the kind {f.code}"
            kept.append(replace(f, message=more, line=None))
    return Report(folder=folder, findings=tuple(sorted(kept, key=_sort_key)), smoke=smoke)


def _sort_key(f: Finding) -> tuple[int, str, int, str, str]:
    return (_ORDER[f.level], f.file, f.line or 0, f.code, f.message)


def error(code: str, message: str, remedy: str, *, file: str = ".", line: int | None = None) -> Finding:
    """A finding of level error."""
    return _finding(Level.ERROR, code, message, remedy, file, line)


def warning(code: str, message: str, remedy: str, *, file: str = ".", line: int | None = None) -> Finding:
    """A finding of level warning."""
    return _finding(Level.WARNING, code, message, remedy, file, line)


def note(code: str, message: str, remedy: str = "for your information", *, file: str = ".", line: int | None = None) -> Finding:
    """A finding of level note."""
    return _finding(Level.NOTE, code, message, remedy, file, line)


def graded(level: Level, code: str, message: str, remedy: str, *, file: str = ".", line: int | None = None) -> Finding:
    """A finding of the level given."""
    return _finding(level, code, message, remedy, file, line)


def _finding(level: Level, code: str, message: str, remedy: str, file: str, line: int | None) -> Finding:
    return Finding(level=level, code=code, file=_plain(file), line=line, message=_plain(message), remedy=_plain(remedy))


def _plain(text: str) -> str:
    """One printable line: what an untrusted folder says must not move the cursor of a terminal or fill a page."""
    kept = "".join(c if c.isprintable() else "?" for c in text)
    return kept if len(kept) <= _MAX_TEXT else kept[: _MAX_TEXT - 1] + "…"
