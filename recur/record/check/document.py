"""submission.json with the line and the printed digits of every value.

Provides `read_document`, which never raises: text that is no JSON, keys given twice, numbers that are not finite,
nesting or size beyond reason are findings with their line. The parser is the standard library's; a scan over its
tokens adds the lines and the literals, because a mean is compared at the precision that was printed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from recur.record.check.finding import Finding, error
from recur.record.check.read import Text

MAX_JSON_BYTES = 1024 * 1024
MAX_NESTING = 20
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|\n')
_REMEDY = "write it again from the logs"

Keys = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as printed: value, digits after the point (0 for an integer), place."""

    value: float
    decimals: int
    text: str
    line: int

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit."""
        return 0.5 * 10.0**-self.decimals

    def agrees(self, exact: float) -> bool:
        """Whether ``exact``, rounded as this number is printed, is this number (either neighbour on a tie)."""
        return abs(self.value - exact) <= max(1e-8, self.half_unit * (1 + 1e-9))


@dataclass(frozen=True, kw_only=True)
class Document:
    """A JSON object with the place and the literal of each value; ``findings`` say what was wrong with it."""

    name: str
    data: dict[str, object]
    lines: dict[Keys, int] = field(default_factory=dict)
    literals: dict[Keys, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def get(self, *path: str) -> object:
        """The value at ``path``, or None."""
        value: object = self.data
        for key in path:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value

    def number(self, *path: str) -> Number | None:
        """The finite number at ``path`` as it was printed, or None."""
        value = self.get(*path)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            return None
        text = self.literals.get(path, repr(value))
        return Number(value=float(value), decimals=decimals_of(text), text=text, line=self.line(*path))

    def text(self, *path: str) -> str:
        """The string at ``path``, or an empty one."""
        value = self.get(*path)
        return value if isinstance(value, str) else ""

    def line(self, *path: str) -> int:
        """Line of the value at ``path``; of the nearest parent with a known line otherwise."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def decimals_of(literal: str) -> int:
    """Digits after the point of a printed number; an exponent moves them."""
    mantissa, _, exponent = literal.lower().partition("e")
    shift = int(exponent) if re.fullmatch(r"[+-]?\d{1,3}", exponent) else 0
    return max(0, len(mantissa.partition(".")[2]) - shift)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def read_document(text: Text) -> Document:
    """The JSON object in ``text``; one that cannot be read is empty and carries the finding."""
    if len(text.text) > MAX_JSON_BYTES:
        return _broken(text, None, f"{len(text.text)} characters are more than {MAX_JSON_BYTES}")
    if (line := _too_deep(text.text)) is not None:
        return _broken(text, line, f"nested deeper than {MAX_NESTING}")
    findings: list[Finding] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in items]
        for key in {k for k in keys if keys.count(k) > 1}:
            findings.append(_bad(text, _line_of_key(text.text, key), f"field {key!r} is given twice; the last one counts"))
        return dict(items)

    try:
        data = json.loads(text.text, object_pairs_hook=pairs)
    except json.JSONDecodeError as e:
        return _broken(text, e.lineno, f"is not JSON ({e.msg})")
    except (ValueError, RecursionError) as e:
        return _broken(text, None, f"is not JSON that can be read ({e})")
    if not isinstance(data, dict):
        return _broken(text, 1, f"holds a {type(data).__name__}, not an object")
    lines: dict[Keys, int] = {}
    literals: dict[Keys, str] = {}
    for place in _places(text.text):
        lines[place.path] = place.line
        literals[place.path] = place.literal
    found = Document(name=text.name, data=data, lines=lines, literals=literals)
    findings.extend(_odd_numbers(found, text))
    return Document(name=text.name, data=data, lines=lines, literals=literals, findings=tuple(findings))


def _bad(text: Text, line: int | None, message: str) -> Finding:
    return error("json", message, _REMEDY, file=text.name, line=line)


def _broken(text: Text, line: int | None, message: str) -> Document:
    return Document(name=text.name, data={}, findings=(_bad(text, line, message),))


def _too_deep(text: str) -> int | None:
    depth, line = 0, 1
    for token in _TOKEN.finditer(text):
        piece = token.group()
        line += piece.count("\n")
        depth += (piece in "{[") - (piece in "}]")
        if depth > MAX_NESTING:
            return line
    return None


def _line_of_key(text: str, key: str) -> int:
    place = text.rfind(json.dumps(key))
    return text.count("\n", 0, max(place, 0)) + 1


def _odd_numbers(document: Document, text: Text) -> Iterator[Finding]:
    for path, literal in document.literals.items():
        value = document.get(*path)
        if isinstance(value, int | float) and not isinstance(value, bool) and not _finite(value):
            name = ".".join(path)
            yield _bad(text, document.line(*path), f"{name}={literal[:40]} is not a finite number")


@dataclass(frozen=True, kw_only=True)
class _Place:
    path: Keys
    line: int
    literal: str


def _places(text: str) -> Iterator[_Place]:
    """Keys, line and literal of every value of a valid JSON text, by a scan over its tokens."""
    stack: list[str | int] = []  # per open bracket: the key being read, or the index in a list
    line, expects_key = 1, False
    for token in _TOKEN.finditer(text):
        piece = token.group()
        if piece == "\n":
            line += 1
        elif piece in ("{", "["):
            if stack:
                yield _Place(path=_path(stack), line=line, literal="")
            expects_key = piece == "{"
            stack.append("" if expects_key else 0)
        elif piece in ("}", "]"):
            stack.pop()
            expects_key = False
        elif piece == ",":
            expects_key = isinstance(stack[-1], str)
            stack[-1] = "" if isinstance(stack[-1], str) else stack[-1] + 1
        elif piece == ":":
            expects_key = False
        elif expects_key:
            stack[-1] = json.loads(piece)
        elif stack:
            yield _Place(path=_path(stack), line=line, literal=piece)


def _path(stack: list[str | int]) -> Keys:
    return tuple(str(key) for key in stack)
