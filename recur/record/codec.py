"""Frozen dataclasses to JSON and back, for the schema in `recur.record.result`.

The standard library writes dataclasses but does not read them; pydantic is kept out of the numeric rooms. Reading is
strict: an unknown or missing field or a wrong type is an `ArtifactError` that names the path inside the document.
Understood: None, bool, int, float, str, string enums, ``Literal``, dataclasses, ``tuple[T, ...]``, ``dict[str, T]``, ``X | Y`` of
these, and ``object`` (any JSON).
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from recur.errors import ArtifactError

T = TypeVar("T")


def to_json(value: object) -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None; fields in the order of their declaration."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(v) for v in value]
    return value


def from_json(cls: type[T], data: object, *, where: str = "") -> T:
    """The ``cls`` that `to_json` wrote as ``data``.

    Args:
        cls: a dataclass.
        data: parsed JSON.
        where: name of the document, for the error.

    Raises:
        ArtifactError: the document does not have the shape of ``cls``.
    """
    value = _read(cls, data, where or cls.__name__)
    if not isinstance(value, cls):
        raise _odd(where, value, cls.__name__)
    return value


def _odd(where: str, data: object, wanted: str) -> ArtifactError:
    return ArtifactError(f"{where}={str(data)[:80]!r}", f"is not {wanted}", "the file was written by something else")


def _read(kind: Any, data: object, where: str) -> object:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise _odd(where, data, "a list")
        return tuple(_read(get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise _odd(where, data, "an object")
        return {k: _read(get_args(kind)[1], v, f"{where}.{k}") for k, v in data.items()}
    if origin is Literal:
        if data not in get_args(kind):
            raise _odd(where, data, f"one of {get_args(kind)}")
        return data
    if is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    return _read_scalar(kind, data, where)


def _read_union(kind: Any, data: object, where: str) -> object:
    options = [k for k in get_args(kind) if k is not types.NoneType]
    if data is None and len(options) < len(get_args(kind)):
        return None
    if len(options) == 1:
        return _read(options[0], data, where)
    for option in options:
        if isinstance(option, type) and type(data) is option:
            return data
    raise _odd(where, data, " or ".join(str(o) for o in options))


def _read_dataclass(kind: Any, data: object, where: str) -> object:
    if not isinstance(data, dict):
        raise _odd(where, data, f"an object ({kind.__name__})")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(data) - set(known)):
        raise _odd(f"{where}.{unknown[0]}", data[unknown[0]], f"a field of {kind.__name__}")
    hints = get_type_hints(kind)
    values = {}
    for name, f in known.items():
        if name in data:
            values[name] = _read(hints[name], data[name], f"{where}.{name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise _odd(f"{where}.{name}", None, "given, but required")
    return kind(**values)


def _read_scalar(kind: Any, data: object, where: str) -> object:
    if kind is object:
        return data
    if isinstance(kind, type) and issubclass(kind, Enum):
        if data not in [m.value for m in kind]:
            raise _odd(where, data, f"a {kind.__name__}")
        return kind(data)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is kind:
        return data
    raise _odd(where, data, f"of type {getattr(kind, '__name__', kind)}")
