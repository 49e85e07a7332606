"""Coder ``lzma9``: LZMA of preset 9 extreme without a container's header, over byte planes where that is smaller.

The dictionary's size follows from the section's size, so it is not stored and bounds the decoder's memory.
"""

from __future__ import annotations

import lzma
from typing import Any

from recur.artifact.coding import unlzma
from recur.artifact.planes import pack, unpack
from recur.artifact.sections import RawSection, SectionShape

_MIN_DICTIONARY_BYTES, _MAX_DICTIONARY_BYTES = 4 << 10, 64 << 20


def encode(raw: RawSection) -> bytes:
    """Width of the planes in one byte, then the stream."""
    filters = _filters(len(raw.data))
    return pack(raw.data, raw.shape.item_bytes, lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=filters))


def decode(data: bytes, shape: SectionShape) -> bytes:
    """The inverse of `encode`.

    Raises:
        ArtifactError: not a whole stream of the section's size.
    """
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(shape.raw_bytes))
    return unpack(data, shape.item_bytes, lambda stream: unlzma(stream, decoder, shape.raw_bytes))


def _filters(raw_bytes: int) -> list[dict[str, Any]]:
    """No literal context: the byte before a code says nothing about it (1 % smaller than preset 9 on Gaussian codes)."""
    dictionary_bytes = min(max(raw_bytes, _MIN_DICTIONARY_BYTES), _MAX_DICTIONARY_BYTES)
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA1, "preset": preset, "dict_size": dictionary_bytes, "lc": 0, "lp": 0, "pb": 2}]
