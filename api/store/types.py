"""Column types that read and write alike on SQLite and PostgreSQL.

PostgreSQL takes neither NUL letters nor ``NaN`` in JSON, no UTF-8 takes lone surrogates, and error texts and heartbeats of a
diverged run hold all three; so such letters become U+FFFD and such numbers null before they are stored, on both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sqlalchemy import Dialect, Double, Text, TypeDecorator
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

COMPACT = (",", ":")


def clean_text(text: str) -> str:
    """``text`` as a plain string that every database takes."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def clean_json(value: Any) -> Any:
    """``value`` as JSON data: enums as their values, tuples as lists, numbers that are not finite as None."""
    if isinstance(value, Enum):
        return clean_json(value.value)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_text(str(k)): clean_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [clean_json(v) for v in value]
    return value


class Words(TypeDecorator[str]):
    """Text, ordered by code point on both databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return postgresql.TEXT(collation="C") if dialect.name == "postgresql" else dialect.type_descriptor(Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(str(value))


class Json(TypeDecorator[Any]):
    """JSON data as text; keys keep their order, None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(clean_json(value), separators=COMPACT, allow_nan=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Real(TypeDecorator[float]):
    """A float, always: SQLite 3.40 hands whole ones back as integers after an UPDATE with RETURNING."""

    impl = Double
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None else float(value)
