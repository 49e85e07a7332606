"""Coder ``brotli11``: brotli of quality 11, over byte planes where that is smaller, in chunks that are compressed side by side.

Independent chunks cost next to nothing and are faster even on one core (PERFORMANCE E); there are as many threads as
torch uses in this process. What is not longer than a chunk is one plain stream.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import brotli
import torch

from recur.artifact.coding import BROTLI_QUALITY, unbrotli
from recur.artifact.planes import pack, unpack
from recur.artifact.sections import RawSection, SectionShape

CHUNK_BYTES = 1 << 20
_WINDOW_LOG2 = 24
"""Largest of RFC 7932; a window of just one chunk takes more bytes."""
_LENGTH_BYTES = 4


def encode(raw: RawSection) -> bytes:
    """Width of the planes in one byte, then the compressed planes."""
    return pack(raw.data, raw.shape.item_bytes, compress)


def decode(data: bytes, shape: SectionShape) -> bytes:
    """The inverse of `encode`.

    Raises:
        ArtifactError: not whole streams of the section's size.
    """
    return unpack(data, shape.item_bytes, lambda streams: decompress(streams, shape.raw_bytes))


def compress(data: bytes) -> bytes:
    """Lengths of all streams but the last, four bytes each, then the streams."""
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)] or [data]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        streams = list(threads.map(_stream, chunks))
    return b"".join([*(len(s).to_bytes(_LENGTH_BYTES, "little") for s in streams[:-1]), *streams])


def decompress(data: bytes, raw_bytes: int) -> bytes:
    """The inverse of `compress`, of ``raw_bytes`` bytes; errors as `decode`."""
    position = _LENGTH_BYTES * max(0, -(-raw_bytes // CHUNK_BYTES) - 1)
    out = []
    for start in range(0, position, _LENGTH_BYTES):
        stop = position + int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        out.append(unbrotli(data[position:stop], CHUNK_BYTES))
        position = stop
    return b"".join([*out, unbrotli(data[position:], CHUNK_BYTES)])


def _stream(data: bytes) -> bytes:
    compressed: bytes = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=_WINDOW_LOG2)
    return compressed
