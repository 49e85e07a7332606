"""Byte planes: the first bytes of all items, then the second bytes and so on; what general compressors like of floats.

Source: the byte shuffle of REFERENCE 10 (2), without its in-band header, which data of its own kind can imitate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recur.errors import ArtifactError


def planes(data: bytes, width: int) -> bytes:
    """The bytes of each position within an item of ``width`` bytes together; the length must be a multiple of it."""
    return np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes()


def items(data: bytes, width: int) -> bytes:
    """The inverse of `planes`."""
    return np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes()


def pack(data: bytes, width: int, compress: Callable[[bytes], bytes]) -> bytes:
    """One byte that says the width, then the compressed planes: of the data's width or of 1, whichever is smaller."""
    packed = [bytes([w]) + compress(planes(data, w)) for w in sorted({1, width})]
    return min(packed, key=len)


def unpack(packed: bytes, width: int, decompress: Callable[[bytes], bytes]) -> bytes:
    """The inverse of `pack`.

    Raises:
        ArtifactError: another width, or a size that is no multiple of it.
    """
    if packed[:1] not in (b"\x01", bytes([width])):
        raise ArtifactError(f"artifact: byte planes of width {packed[:1].hex()!r}", f"must be 1 or {width}", "refused")
    data = decompress(packed[1:])
    if len(data) % packed[0]:
        raise ArtifactError(f"artifact: {len(data)} bytes", f"must be a multiple of {packed[0]}", "refused")
    return items(data, packed[0])
