"""Our container: magic, version, index, sections of flat bytes, checksum. No pickle, and nothing in it is trusted.

File (little-endian): magic (8 bytes), version u16, length of the index u32, its length uncompressed u32, the index (JSON of
`recur.artifact.index`, brotli), the coded sections one after the other, CRC-32 u32 of all bytes before it.
The magic follows PNG's (a byte above 127, CR LF, Ctrl-Z, LF), so that a transfer as text is seen at once.
The reader checks every size against the caller's limit before anything of that size is made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import brotli
import torch

from recur.artifact.coding import BROTLI_QUALITY, unbrotli
from recur.artifact.index import Index, SectionPlace, index_from_json, index_to_json
from recur.artifact.layout import all_entries, parameters_of
from recur.artifact.sections import (
    RawSection,
    Section,
    decode_section,
    encode_section,
    join,
    section_shape,
    split_parameters,
)
from recur.errors import ArtifactError
from recur.quantize.tensors import Meta, QuantizedModel

MAGIC = b"\x89RCR\r\n\x1a\n"
VERSION = 1
MAX_INDEX_BYTES = 1 << 18
"""Uncompressed; the record's shape needs 5 kB."""
_DESCRIBED_BYTES = 1 << 40
"""Limit where nothing is decoded: sizes are only added up."""
_HEADER = struct.Struct("<8sHII")
_CRC = struct.Struct("<I")
_REMEDY = "copy the artifact again from where it was written"


@dataclass(frozen=True, kw_only=True)
class SectionInfo:
    """One section, for reports: its name, the coder that won, bytes coded and uncoded, and number of items."""

    name: str
    coder: str
    bytes: int
    raw_bytes: int
    symbols: int


@dataclass(frozen=True, kw_only=True)
class ContainerInfo:
    """What a container is made of; all its bytes are in ``index_bytes``, ``frame_bytes`` and the sections.

    Attributes:
        version: of the format.
        bytes: the whole file.
        index_bytes: the index as it is stored, compressed.
        frame_bytes: magic, version, lengths and checksum.
        sections: in order.
    """

    version: int
    bytes: int
    index_bytes: int
    frame_bytes: int
    sections: tuple[SectionInfo, ...]


@dataclass(frozen=True, kw_only=True)
class _Opened:
    index: Index
    index_bytes: int
    body: memoryview


def write_container(model: QuantizedModel, sections: Sequence[Section] | None = None) -> bytes:
    """The container's bytes; equal models give equal bytes (with one version of brotli and of the LZMA library).

    Args:
        model: what to store.
        sections: its sections as `encode_section` made them of `split`, in order; None codes them here, with all coders.

    Raises:
        ArtifactError: a model that the container cannot hold, or sections that are not this model's.
    """
    parameters = parameters_of(model)
    raw = split_parameters(parameters, model.entries)
    coded = [encode_section(one) for one in raw] if sections is None else list(sections)
    _check_belong(coded, raw)
    places, offset = [], 0
    for section in coded:
        length = len(section.data)
        places.append(
            SectionPlace(role=section.role, coder=section.coder, offset=offset, length=length, raw_bytes=section.raw_bytes)
        )
        offset += length
    index = index_to_json(parameters, places)
    if len(index) > MAX_INDEX_BYTES:
        raise ArtifactError(f"artifact index: {len(index)} bytes", f"exceeds {MAX_INDEX_BYTES}", "shorten the names")
    packed: bytes = brotli.compress(index, quality=BROTLI_QUALITY)
    header = _HEADER.pack(MAGIC, VERSION, len(packed), len(index))
    body = b"".join((header, packed, *(section.data for section in coded)))
    return body + _CRC.pack(zlib.crc32(body))


def read_container(blob: bytes, *, max_bytes: int) -> QuantizedModel:
    """Read a container's bytes.

    Args:
        blob: the whole file.
        max_bytes: largest sum of the decoded sections; memory stays within a few times this.

    Raises:
        ArtifactError: damaged, truncated, followed by other data, of another version, or forged (`index`, `sections`).
    """
    opened = _open(blob, max_bytes)
    entries = all_entries(opened.index.parameters)
    stored = {e.name: torch.empty(e.shape, dtype=e.role.dtype) for e in entries if not e.items}
    for plan, place in zip(opened.index.plans, opened.index.places, strict=True):
        data = bytes(opened.body[place.offset : place.offset + place.length])
        stored |= join(plan, decode_section(data, place.coder, section_shape(plan, stored)))
    meta: dict[str, Meta] = {parameter.name: parameter.meta for parameter in opened.index.parameters}
    return QuantizedModel(entries={entry.name: stored[entry.name] for entry in entries}, meta=meta)


def describe(blob: bytes) -> ContainerInfo:
    """What a container is made of, without decoding its sections.

    Raises:
        ArtifactError: as `read_container`, but for what only decoding finds.
    """
    opened = _open(blob, _DESCRIBED_BYTES)
    sections = tuple(
        SectionInfo(
            name=str(place.role),
            coder=place.coder,
            bytes=place.length,
            raw_bytes=place.raw_bytes,
            symbols=place.raw_bytes // place.role.dtype.itemsize,
        )
        for place in opened.index.places
    )
    frame_bytes = _HEADER.size + _CRC.size
    return ContainerInfo(
        version=VERSION, bytes=len(blob), index_bytes=opened.index_bytes, frame_bytes=frame_bytes, sections=sections
    )


def _open(blob: bytes, max_bytes: int) -> _Opened:
    if not blob.startswith(MAGIC):
        raise _bad(f"starts with {blob[:8].hex()}, must start with {MAGIC.hex()}: it is no container of ours")
    if len(blob) < _HEADER.size + _CRC.size:
        raise _bad(f"is truncated to {len(blob)} bytes")
    _, version, packed_bytes, index_bytes = _HEADER.unpack_from(blob)
    if version != VERSION:
        raise ArtifactError(f"artifact version {version}", f"must be {VERSION}", "read it with the release that wrote it")
    end = len(blob) - _CRC.size
    if zlib.crc32(memoryview(blob)[:end]) != _CRC.unpack_from(blob, end)[0]:
        raise _bad("does not have the CRC-32 it was written with: it is damaged or truncated")
    body_at = _HEADER.size + packed_bytes
    if body_at > end or index_bytes > min(MAX_INDEX_BYTES, max_bytes):
        raise _bad(f"has an index of {packed_bytes} bytes ({index_bytes} uncompressed), more than it may")
    text = unbrotli(blob[_HEADER.size : body_at], index_bytes)
    if len(text) != index_bytes:
        raise _bad(f"has an index of {len(text)} bytes, said to have {index_bytes}")
    index = index_from_json(text, body_bytes=end - body_at, max_bytes=max_bytes)
    return _Opened(index=index, index_bytes=packed_bytes, body=memoryview(blob)[body_at:end])


def _check_belong(coded: Sequence[Section], raw: Sequence[RawSection]) -> None:
    given = [(section.role, section.raw_bytes, section.raw_crc32) for section in coded]
    wanted = [(one.shape.role, len(one.data), zlib.crc32(one.data)) for one in raw]
    if given != wanted:
        names = ", ".join(str(role) for role, _, _ in given)
        raise ArtifactError(f"sections {names}", "are not this model's", "code every section of split(model), in order")


def _bad(rule: str) -> ArtifactError:
    return ArtifactError("artifact", rule, _REMEDY)
