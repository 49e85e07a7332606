"""Coder ``brotli11``: brotli of quality 11 with its largest window (16 MiB), over byte planes where that is smaller."""

from __future__ import annotations

import brotli

from recur.artifact.coding import BROTLI_QUALITY, unbrotli
from recur.artifact.planes import pack, unpack
from recur.artifact.sections import RawSection, SectionShape

_WINDOW_LOG2 = 24
"""Largest of RFC 7932. Not smaller for the sizes that fit the default's 4 MiB."""


def encode(raw: RawSection) -> bytes:
    """Width of the planes in one byte, then the stream."""
    return pack(raw.data, raw.shape.item_bytes, _compress)


def decode(data: bytes, shape: SectionShape) -> bytes:
    """The inverse of `encode`.

    Raises:
        ArtifactError: not a whole stream of the section's size.
    """
    return unpack(data, shape.item_bytes, lambda stream: unbrotli(stream, shape.raw_bytes))


def _compress(data: bytes) -> bytes:
    compressed: bytes = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=_WINDOW_LOG2)
    return compressed
