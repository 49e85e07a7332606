"""Which stored tensors a parameter has, and the section and order of each: a pure function of names, kinds and shapes.

The index of a container lists parameters; everything else follows from them by the rules here, so the place of a tensor is
never written down and no tensor can overlap another. Order of sections: floats and steps first, because the steps are what
the range coder's decoder knows of the codes before it reads them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch

from recur.artifact.decode import some
from recur.errors import ArtifactError
from recur.quantize.tensors import CODES, COLS, PARTS, ROWS, SCALE, STEP, Meta, QuantizedModel

KINDS = ("passthrough", "passthrough_ctrl", *PARTS)
_MATRIX = re.compile(r"\.(attn|mlp)\.(c_q|c_k|c_v|proj|fc)\.weight$")
_REMEDY = "quantize the model again"


class Role(StrEnum):
    """The sections, in their order."""

    FLOAT = "float"
    """float32: control tensors, the base steps of grids, the step of an int8 tensor that has one."""
    HALF = "half"
    """float16: tensors stored as they are, and other steps."""
    STEPS = "steps"
    """int8: row and column exponents of all grids."""
    Q = "q"
    K = "k"
    V = "v"
    OUT = "o"
    FC = "fc"
    PROJ = "proj"
    TABLES = "tables"
    """int8: codes of every other parameter."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the section's items."""
        return {Role.FLOAT: torch.float32, Role.HALF: torch.float16}.get(self, torch.int8)

    @property
    def holds_codes(self) -> bool:
        """Whether the items are codes of weights."""
        return self not in (Role.FLOAT, Role.HALF, Role.STEPS)


_ATTENTION = {"c_q": Role.Q, "c_k": Role.K, "c_v": Role.V, "proj": Role.OUT}
_MLP = {"fc": Role.FC, "proj": Role.PROJ}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What the index says of one parameter.

    Attributes:
        name: state-dict name.
        meta: as in `QuantizedModel`.
        shape: of the stored tensor, or of the codes.
        one_step: for kinds int6 and int8, whether the scale is one for the tensor (0-dim) rather than one per row.
    """

    name: str
    meta: Meta
    shape: tuple[int, ...]
    one_step: bool = False

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.meta if isinstance(self.meta, str) else self.meta["type"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored tensor.

    Attributes:
        name: its name in `QuantizedModel.entries`.
        role: its section.
        shape: its shape; the type is the section's.
        steps_of: for the codes of a grid its parameter, whose exponents say how wide the codes spread.
        positive: whether it is a grid's base step.
    """

    name: str
    role: Role
    shape: tuple[int, ...]
    steps_of: str | None = None
    positive: bool = False

    @property
    def items(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A section before its values are known: the entries in it, in order."""

    role: Role
    entries: tuple[Entry, ...]

    @property
    def raw_bytes(self) -> int:
        """Size of the section's bytes, uncoded."""
        return self.role.dtype.itemsize * sum(entry.items for entry in self.entries)


def entries_of(parameter: Parameter) -> tuple[Entry, ...]:
    """The stored tensors of a parameter, in the order of `recur.quantize.tensors.PARTS`."""
    name, kind, shape = parameter.name, parameter.kind, parameter.shape
    if kind == "passthrough":
        return (Entry(name=name, role=Role.HALF, shape=shape),)
    if kind == "passthrough_ctrl":
        return (Entry(name=name, role=Role.FLOAT, shape=shape),)
    if kind == "grid":
        return (
            Entry(name=name + CODES, role=code_role(name), shape=shape, steps_of=name),
            Entry(name=name + STEP, role=Role.FLOAT, shape=(), positive=True),
            Entry(name=name + ROWS, role=Role.STEPS, shape=shape[:1]),
            Entry(name=name + COLS, role=Role.STEPS, shape=shape[1:]),
        )
    scale_role = Role.FLOAT if parameter.one_step and kind == "int8" else Role.HALF
    scale = Entry(name=name + SCALE, role=scale_role, shape=() if parameter.one_step else shape[:1])
    return (Entry(name=name + CODES, role=code_role(name), shape=shape), scale)


def code_role(name: str) -> Role:
    """Section of a parameter's codes, by its state-dict name."""
    found = _MATRIX.search(name)
    if found is None:
        return Role.TABLES
    return (_ATTENTION if found[1] == "attn" else _MLP).get(found[2], Role.TABLES)


def all_entries(parameters: Sequence[Parameter]) -> list[Entry]:
    """The stored tensors of a model in state-dict order.

    Raises:
        ArtifactError: two parameters, or parts of them, have one name.
    """
    entries = [entry for parameter in parameters for entry in entries_of(parameter)]
    for names in ([parameter.name for parameter in parameters], [entry.name for entry in entries]):
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise ArtifactError(f"artifact {twice}", "is there twice", "every tensor has one name")
    return entries


def plan_sections(entries: Sequence[Entry]) -> list[Plan]:
    """The sections that hold anything, in their order."""
    plans = [Plan(role=role, entries=tuple(e for e in entries if e.role is role)) for role in Role]
    return [plan for plan in plans if plan.raw_bytes]


def parameters_of(model: QuantizedModel) -> list[Parameter]:
    """The index's view of a model.

    Raises:
        ArtifactError: metadata of another kind, or entries that are missing, too many, or of another type or shape.
    """
    for name, meta in model.meta.items():
        plain = isinstance(meta, str) or ("type" in meta and set(meta) <= {"type", "method"})
        if not plain or (meta if isinstance(meta, str) else meta["type"]) not in KINDS:
            raise ArtifactError(f"artifact {name}: {meta!r}", f"must be of a known kind ({', '.join(KINDS)})", _REMEDY)
    missing = model.missing_entries()
    if missing:
        raise ArtifactError("artifact", f"lacks {some(missing)} that its metadata names", _REMEDY)
    parameters = [_parameter(model, name) for name in model.meta]
    entries = all_entries(parameters)
    extra = sorted(set(model.entries) - {entry.name for entry in entries})
    if extra:
        raise ArtifactError("artifact", f"holds {some(extra)} that no metadata names", _REMEDY)
    for entry in entries:
        _check_stored(entry, model.entries[entry.name])
    return parameters


def _parameter(model: QuantizedModel, name: str) -> Parameter:
    meta, stored = model.meta[name], model.entries.get(name + CODES)
    if isinstance(meta, str) or stored is None:
        return Parameter(name=name, meta=meta, shape=tuple(model.entries[name].shape))
    shape, scale = tuple(stored.shape), model.entries.get(name + SCALE)
    if meta["type"] == "grid" and len(shape) != 2:
        raise ArtifactError(f"artifact {name}: shape {shape}", "must be [rows, columns] for a grid", _REMEDY)
    one_step = meta["type"] != "grid" and scale is not None and scale.ndim == 0
    return Parameter(name=name, meta=dict(meta), shape=shape, one_step=one_step)


def _check_stored(entry: Entry, value: torch.Tensor) -> None:
    if value.dtype is not entry.role.dtype or tuple(value.shape) != entry.shape:
        given = f"artifact {entry.name}: {value.dtype} {tuple(value.shape)}"
        raise ArtifactError(given, f"must be {entry.role.dtype} {entry.shape}", _REMEDY)
