"""A quantized model cut into sections: flat bytes of one role each, coded on their own, the smallest coder each.

`split` and `encode_section` are what a fan-out needs: values that pickle, and a module-level function of one section.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recur.artifact.layout import Entry, Parameter, Plan, Role, all_entries, parameters_of, plan_sections
from recur.artifact.range_coder import Geometry
from recur.components import component
from recur.errors import ArtifactError, RecipeError
from recur.quantize.tensors import COLS, ROWS, QuantizedModel

CODERS_PACKAGE = "recur.artifact.coders"
CODERS = ("raw", "range", "brotli11", "lzma9")
"""All coders, in the order that breaks ties."""
_TWINS = {Role.FC: (".mlp.fc.", ".mlp.proj."), Role.PROJ: (".mlp.proj.", ".mlp.fc.")}
_FORMS = {torch.float32: "<f4", torch.float16: "<f2", torch.int8: "|i1"}
"""An item's form on disk: little-endian on every machine."""


@dataclass(frozen=True, kw_only=True)
class SectionShape:
    """All that a decoder knows of a section before it reads it.

    Attributes:
        role: which section.
        raw_bytes: size of the decoded bytes.
        blocks: for int8 sections the shape of every tensor as a matrix, with what the steps say of its rows and columns.
    """

    role: Role
    raw_bytes: int
    blocks: tuple[Geometry, ...]

    @property
    def item_bytes(self) -> int:
        """1, 2 or 4."""
        return self.role.dtype.itemsize

    @property
    def symbols(self) -> int:
        """Number of items."""
        return self.raw_bytes // self.item_bytes


@dataclass(frozen=True, kw_only=True)
class RawSection:
    """A section's bytes, uncoded: its tensors one after the other, row after row, little-endian."""

    shape: SectionShape
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Section:
    """A coded section.

    Attributes:
        role: which section.
        coder: a component of `recur.artifact.coders`.
        data: the coded bytes.
        raw_bytes: size of the decoded bytes.
        raw_crc32: CRC-32 of the decoded bytes; ties the coded section to the model it was made from, not stored.
    """

    role: Role
    coder: str
    data: bytes
    raw_bytes: int
    raw_crc32: int


def split(model: QuantizedModel) -> list[RawSection]:
    """The uncoded sections of a model, in their order.

    Raises:
        ArtifactError: an entry that is missing, of another type or shape, not finite, or that the container cannot hold.
    """
    return split_parameters(parameters_of(model), model.entries)


def split_parameters(parameters: Sequence[Parameter], stored: Mapping[str, Tensor]) -> list[RawSection]:
    """`split`, for a model whose parameters are known."""
    plans = plan_sections(all_entries(parameters))
    return [RawSection(shape=section_shape(plan, stored), data=_raw(plan, stored)) for plan in plans]


def section_shape(plan: Plan, stored: Mapping[str, Tensor]) -> SectionShape:
    """What is known of a section once the entries of the sections before it are in ``stored``."""
    is_int8 = plan.role.dtype is torch.int8
    blocks = tuple(_geometry(entry, stored) for entry in plan.entries) if is_int8 else ()
    return SectionShape(role=plan.role, raw_bytes=plan.raw_bytes, blocks=blocks)


def encode_section(raw: RawSection, coders: Sequence[str] = CODERS) -> Section:
    """A section by whichever coder makes it smallest; the first of them where several do.

    Raises:
        RecipeError: an unknown coder, or none that can code this section.
    """
    found: list[tuple[str, bytes]] = []
    for name in coders:
        coded: bytes | None = component(CODERS_PACKAGE, name).encode(raw)
        found += [] if coded is None else [(name, coded)]
    if not found:
        raise RecipeError(f"coders={tuple(coders)}", f"has none for the section {raw.shape.role}", "add raw")
    coder, data = min(found, key=lambda one: len(one[1]))
    crc = zlib.crc32(raw.data)
    return Section(role=raw.shape.role, coder=coder, data=data, raw_bytes=len(raw.data), raw_crc32=crc)


def decode_section(data: bytes, coder: str, shape: SectionShape) -> bytes:
    """The uncoded bytes of a section, exactly ``shape.raw_bytes`` of them.

    Raises:
        ArtifactError: data that is damaged or of another size.
    """
    decoded: bytes = component(CODERS_PACKAGE, coder).decode(data, shape)
    if len(decoded) != shape.raw_bytes:
        rule = f"must expand to {shape.raw_bytes} bytes, not {len(decoded)}"
        raise ArtifactError(f"artifact section {shape.role}", rule, "it is damaged or forged; refused")
    return decoded


def join(plan: Plan, data: bytes) -> dict[str, Tensor]:
    """The tensors of a decoded section.

    Args:
        plan: the section's entries.
        data: its uncoded bytes, of the size that the plan implies.

    Raises:
        ArtifactError: NaN, infinity, or a base step that is not positive.
    """
    items = np.frombuffer(data, _FORMS[plan.role.dtype])
    items = items.astype(items.dtype.newbyteorder("="))
    tensors, taken = {}, 0
    for entry in plan.entries:
        value = torch.from_numpy(items[taken : taken + entry.items].copy()).reshape(entry.shape)
        check_values(entry, value)
        tensors[entry.name], taken = value, taken + entry.items
    return tensors


def check_values(entry: Entry, value: Tensor) -> None:
    """Refuse NaN, infinity, and base steps that are not positive.

    Raises:
        ArtifactError: the entry holds any of them.
    """
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise ArtifactError(f"artifact {entry.name}", "holds NaN or infinity", "write it again")
    if entry.positive and not value > 0:
        raise ArtifactError(f"artifact {entry.name}: {value.item()}", "must be a positive step", "write it again")


def _raw(plan: Plan, stored: Mapping[str, Tensor]) -> bytes:
    for entry in plan.entries:
        check_values(entry, stored[entry.name])
    form = _FORMS[plan.role.dtype]
    return b"".join(stored[entry.name].detach().cpu().numpy().astype(form).tobytes() for entry in plan.entries)


def _geometry(entry: Entry, stored: Mapping[str, Tensor]) -> Geometry:
    """A tensor as a matrix: codes by their first dimension, anything else as one row; hints = minus the exponents.

    The second hints are those of the other matrix of an MLP: its columns are this one's rows, of the same hidden units.
    """
    rows, cols = (1, entry.items) if len(entry.shape) < 2 else (entry.shape[0], math.prod(entry.shape[1:]))
    own = entry.steps_of or ""
    other = own.replace(*_TWINS[entry.role]) if entry.role in _TWINS else ""
    return Geometry(
        row_hints=np.stack([_hint(stored, own + ROWS, rows), _hint(stored, other + COLS, rows)]),
        col_hints=np.stack([_hint(stored, own + COLS, cols), _hint(stored, other + ROWS, cols)]),
    )


def _hint(stored: Mapping[str, Tensor], exponents: str, size: int) -> npt.NDArray[np.int32]:
    """Minus some exponents; 0 where there are none of that number."""
    found = stored.get(exponents)
    if found is None or found.numel() != size:
        return np.zeros(size, np.int32)
    hint: npt.NDArray[np.int32] = -found.cpu().numpy().astype(np.int32)
    return hint
