"""Markdown tables that do not render, by the CommonMark parser markdown-it with GitHub's tables.

A line that looks like a row of a table but is part of none shows as plain text: doubled bars, a missing rule below the
header, a rule with another number of columns. Inside a table a row with more or fewer cells than its header is reported,
because the renderer drops or fills cells in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from recur.record.check.finding import Finding, note, warning
from recur.record.check.read import Text

MAX_MARKDOWN_CHARS = 200_000
_PARSER = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
_CELL_END = re.compile(r"(?<!\\)\|")
_ROW = re.compile(r"^\s{0,3}(?:>\s?)*(?:[-*]\s+)?\|.*\|")


def parse(text: str) -> list[Token]:
    """Block tokens of Markdown with GitHub's tables; of the first 200,000 characters."""
    return _PARSER.parse(text[:MAX_MARKDOWN_CHARS])


def check_tables(text: Text) -> Iterator[Finding]:
    """Rows outside any table, and rows whose cells are not those of their header."""
    if len(text.text) > MAX_MARKDOWN_CHARS:
        said = f"only the first {MAX_MARKDOWN_CHARS:,} characters were read"
        yield note("long_markdown", said, file=text.name)
    lines = text.lines()
    tokens = parse(text.text)
    inside: set[int] = set()
    for token in tokens:
        if token.map is None or token.type not in ("table_open", "fence", "code_block", "html_block"):
            continue
        inside.update(range(*token.map))
        if token.type == "table_open":
            yield from _rows(text.name, lines, token.map[0], token.map[1])
    block: list[int] = []
    for i in range(len(lines) + 1):
        if i < len(lines) and i not in inside and _ROW.match(lines[i]):
            block.append(i)
            continue
        if block:
            yield _not_rendered(text.name, lines, block)
        block = []


def _not_rendered(name: str, lines: list[str], block: list[int]) -> Finding:
    first = lines[block[0]].strip()
    why = "doubled bars" if "||" in first else "no rule of as many columns below its header"
    said = f"{len(block)} line{'s' * (len(block) > 1)} look like a table but do not render ({why}): {first[:60]}"
    return warning("table", said, "write | a | b | with a rule | - | - | below", file=name, line=block[0] + 1)


def _rows(name: str, lines: list[str], first: int, end: int) -> Iterator[Finding]:
    wanted = _cells(lines[first])
    for i in range(first, min(end, len(lines))):
        row = lines[i].strip()
        if row.startswith("||") or row.endswith("||"):
            said = f"row with doubled bars renders an empty column: {row[:60]}"
            yield warning("table", said, "write single bars", file=name, line=i + 1)
        elif row and (cells := _cells(row)) != wanted:
            said = f"row has {cells} cells, its header {wanted}: {row[:60]}"
            yield warning("table", said, "give every row the columns of the header", file=name, line=i + 1)


def _cells(row: str) -> int:
    inner = row.strip().lstrip(">").strip()
    bars = len(_CELL_END.findall(inner))
    return bars + 1 - inner.startswith("|") - (len(inner) > 1 and bool(re.search(r"(?<!\\)\|$", inner)))
