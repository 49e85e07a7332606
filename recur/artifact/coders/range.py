"""Coder ``range``: the adaptive range coder over int8 sections, told what the steps say of every row and column."""

from __future__ import annotations

from math import prod

import numpy as np

from recur.artifact.range_coder import CodeBlock, Geometry, decode_blocks, encode_blocks
from recur.artifact.sections import RawSection, SectionShape
from recur.errors import ArtifactError


def encode(raw: RawSection) -> bytes | None:
    """The coded tensors of an int8 section one after the other; None for sections of floats."""
    if not raw.shape.blocks:
        return None
    blocks, taken = [], 0
    for g in _filled(raw.shape):
        codes = np.frombuffer(raw.data, np.int8, prod(g.shape), taken).reshape(g.shape)
        blocks.append(CodeBlock(codes=codes, geometry=g))
        taken += codes.size
    return encode_blocks(blocks)


def decode(data: bytes, shape: SectionShape) -> bytes:
    """The inverse of `encode`. Damaged data of a right length may decode to other codes: that is the checksum's matter.

    Raises:
        ArtifactError: a section of floats, or data of another length than its codes take.
    """
    if not shape.blocks:
        raise ArtifactError(f"artifact section {shape.role}", "holds no codes for the range coder", "it is forged; refused")
    return b"".join(codes.tobytes() for codes in decode_blocks(data, _filled(shape)))


def _filled(shape: SectionShape) -> list[Geometry]:
    return [g for g in shape.blocks if prod(g.shape)]
