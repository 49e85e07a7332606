"""Markdown from plain values: text that cannot break out of its cell, and tables whose rows have the length of their head."""

from __future__ import annotations

from collections.abc import Sequence

ABSENT = "-"
_SPECIAL = frozenset("\\`*_{}[]<>#|~&!$")


def plain(text: object) -> str:
    """``text`` on one line, shown as it is: what Markdown reads as a mark is escaped, control characters are dropped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in line)


def code(text: object) -> str:
    """``text`` as code, on one line; inside a table a bar would end the cell, so it is shown as ¦."""
    line = " ".join(str(text).split()).replace("`", "'").replace("|", "¦")
    return f"`{line}`" if line else ABSENT


def number(value: float | None, places: int) -> str:
    """A number without separators, as logs and JSON have it; "-" where it is absent."""
    return ABSENT if value is None else f"{value:.{places}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table; the first ``left`` columns are flush left, the others right.

    Raises:
        ValueError: a row has another length than the head.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under {len(head)} columns: {row}")
    marks = [":---" if i < left else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))
