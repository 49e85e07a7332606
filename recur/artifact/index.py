"""The index of a container: which parameters there are and where the sections lie, as compact JSON.

Form: ``[ways, parameters, sections]``; a way is ``[kind]`` or ``[kind, method]`` with a kind out of
`recur.artifact.layout.KINDS` or ``int6_one``, ``int8_one`` (one step for the tensor); a parameter is ``[name, index of its
way, shape]``; a section is ``[role, coder, offset, length, raw length]``, offsets from the end of the index. For the record's
119 parameters it is 377 bytes compressed without the sections (lists column by column 382, objects with keys 422).
Every value is checked here; what is read from it is trusted afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recur.artifact.layout import KINDS, Parameter, Plan, Role, all_entries, plan_sections
from recur.artifact.sections import CODERS_PACKAGE
from recur.components import available
from recur.errors import ArtifactError
from recur.quantize.tensors import Meta

_ONE = "_one"
_ONE_STEP_KINDS = ("int6", "int8")
_NAME = re.compile(r"[!#-\[\]-~]{1,200}")
"""Printable ASCII but the space, the quote and the backslash."""
_METHOD = re.compile(r"[a-z0-9_]{1,40}")
_MAX_DIMENSIONS = 8


@dataclass(frozen=True, kw_only=True)
class SectionPlace:
    """Where a coded section lies; offset from the end of the index."""

    role: Role
    coder: str
    offset: int
    length: int
    raw_bytes: int


@dataclass(frozen=True, kw_only=True)
class Index:
    """A checked index: sections in order and without gaps, each of the size that the parameters imply.

    Attributes:
        parameters: in state-dict order.
        plans: the sections' entries, in order.
        places: where they lie, in the same order.
    """

    parameters: tuple[Parameter, ...]
    plans: tuple[Plan, ...]
    places: tuple[SectionPlace, ...]


def index_to_json(parameters: Sequence[Parameter], places: Sequence[SectionPlace]) -> bytes:
    """The index as JSON; equal arguments give equal bytes.

    Raises:
        ArtifactError: a name or method that the container does not take.
    """
    ways = [_way_of(parameter) for parameter in parameters]
    distinct = sorted(set(ways))
    index = [
        [list(way) for way in distinct],
        [
            [_checked_name(parameter.name), distinct.index(way), list(parameter.shape)]
            for parameter, way in zip(parameters, ways, strict=True)
        ],
        [[str(p.role), p.coder, p.offset, p.length, p.raw_bytes] for p in places],
    ]
    return json.dumps(index, separators=(",", ":")).encode()


def index_from_json(text: bytes, *, body_bytes: int, max_bytes: int) -> Index:
    """Check an index.

    Args:
        text: the JSON.
        body_bytes: bytes between the index and the checksum.
        max_bytes: largest sum of the sections' uncoded sizes.

    Raises:
        ArtifactError: anything that is not an index of exactly those bytes within that size.
    """
    try:
        found: object = json.loads(text.decode())
    except (ValueError, RecursionError) as e:
        raise _bad("must be JSON", str(e)) from e
    ways, listed, sections = _three_lists(found)
    known = [_checked_way(way) for way in ways]
    parameters = tuple(_parameter(one, known, max_bytes) for one in listed)
    plans = tuple(plan_sections(all_entries(parameters)))
    if sum(plan.raw_bytes for plan in plans) > max_bytes:
        raise _bad(f"must expand to at most {max_bytes} bytes", sum(plan.raw_bytes for plan in plans))
    return Index(parameters=parameters, plans=plans, places=_checked_places(sections, plans, body_bytes))


def _three_lists(found: object) -> list[list[Any]]:
    if not isinstance(found, list) or len(found) != 3 or not all(isinstance(part, list) for part in found):
        raise _bad("must be three lists", found)
    return found


def _way_of(parameter: Parameter) -> tuple[str, ...]:
    kind = parameter.kind + (_ONE if parameter.one_step else "")
    if isinstance(parameter.meta, str) or "method" not in parameter.meta:
        return (kind,)
    way = (kind, parameter.meta["method"])
    _checked_way(list(way))
    return way


def _checked_way(way: object) -> tuple[str, ...]:
    if not isinstance(way, list) or not 1 <= len(way) <= 2 or not all(isinstance(word, str) for word in way):
        raise _bad("must name ways as a kind and perhaps a method", way)
    kind, one = way[0].removesuffix(_ONE), way[0].endswith(_ONE)
    if kind not in KINDS or (one and kind not in _ONE_STEP_KINDS):
        raise _bad(f"must name kinds out of {', '.join(KINDS)}", way[0])
    if len(way) == 2 and (kind.startswith("passthrough") or not _METHOD.fullmatch(way[1])):
        raise _bad("must name methods of quantized parameters, in letters, digits and underscores", way[1])
    return tuple(way)


def _parameter(listed: object, ways: Sequence[tuple[str, ...]], max_bytes: int) -> Parameter:
    if not isinstance(listed, list) or len(listed) != 3:
        raise _bad("must give a name, a way and a shape for each parameter", listed)
    name, way = _checked_name(listed[0]), ways[_number(listed[1], len(ways) - 1)]
    shape = _checked_shape(listed[2], max_bytes)
    kind, one_step = way[0].removesuffix(_ONE), way[0].endswith(_ONE)
    if kind == "grid" and len(shape) != 2:
        raise _bad("must give a grid two dimensions", f"{name} {shape}")
    if kind in _ONE_STEP_KINDS and not shape and not one_step:
        raise _bad("must give a tensor without rows one step", name)
    meta: Meta = kind if kind.startswith("passthrough") else {"type": kind}
    if len(way) == 2 and isinstance(meta, dict):
        meta["method"] = way[1]
    return Parameter(name=name, meta=meta, shape=shape, one_step=one_step)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _bad("must name parameters in 1 to 200 printable ASCII characters", name)
    return name


def _checked_shape(shape: object, max_bytes: int) -> tuple[int, ...]:
    """The shape; neither a dimension nor the product of those that are not zero exceeds ``max_bytes``."""
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise _bad(f"must give shapes of at most {_MAX_DIMENSIONS} dimensions", shape)
    product = 1
    for dimension in shape:
        product *= max(1, _number(dimension, max_bytes))
        if product > max_bytes:
            raise _bad(f"must give tensors of at most {max_bytes} bytes", shape)
    return tuple(shape)


def _checked_places(sections: list[Any], plans: Sequence[Plan], body_bytes: int) -> tuple[SectionPlace, ...]:
    """The places of the sections, which must be those of the plans, in order, one after the other, to the end."""
    known, end = available(CODERS_PACKAGE), 0
    places: list[SectionPlace] = []
    for section in sections:
        if not isinstance(section, list) or len(section) != 5:
            raise _bad("must describe sections by five values", section)
        role, coder, offset, length, raw_bytes = section
        if not isinstance(coder, str) or coder not in known:
            raise _bad(f"must name coders out of {', '.join(known)}", coder)
        if _number(offset, body_bytes) != end or _number(length, body_bytes - offset) != length:
            raise _bad("must have sections that neither overlap nor leave gaps", f"{offset}, expected {end}")
        plan = plans[len(places)] if len(places) < len(plans) else None
        if plan is None or role != plan.role or type(raw_bytes) is not int or raw_bytes != plan.raw_bytes:
            expected = "no more" if plan is None else f"{plan.role} of {plan.raw_bytes} bytes"
            raise _bad(f"must have the sections that its parameters imply, here {expected}", role)
        places.append(SectionPlace(role=plan.role, coder=coder, offset=offset, length=length, raw_bytes=raw_bytes))
        end += length
    if end != body_bytes or len(places) != len(plans):
        raise _bad(f"must have {len(plans)} sections of {body_bytes} bytes", f"{len(places)} of {end} bytes")
    return tuple(places)


def _number(value: object, highest: int) -> int:
    """A whole number from 0 to ``highest``; JSON's true and 1.0 are none."""
    if type(value) is not int or not 0 <= value <= highest:
        raise _bad(f"must hold whole numbers from 0 to {highest} here", value)
    return value


def _bad(rule: str, given: object) -> ArtifactError:
    """Lists are not shown: they may be nested deeper than Python can print."""
    shown = ascii(given)[:80] if isinstance(given, str | int | float) else f"a {type(given).__name__}"
    return ArtifactError(f"artifact index ({shown})", rule, "it is damaged or forged; copy the artifact again")
