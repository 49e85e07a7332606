"""Byte shuffle and general-purpose compression, with bounded decompression.

Source: REFERENCE 10 (2-3): ``BSHF`` + one byte stride + the bytes by residue class of their position; brotli
quality 11 or an xz container of preset 6.
Deviations: decompression stops at a byte limit, and data after the end of the stream is refused.
"""

from __future__ import annotations

import lzma

import brotli
import numpy as np

from recur.errors import ArtifactError, RecipeError

SHUFFLE_MAGIC = b"BSHF"
HEADER_BYTES = len(SHUFFLE_MAGIC) + 1
BROTLI_QUALITY = 11
LZMA_PRESET = 6
LZMA_MEMORY_BYTES = 128 << 20
"""Decoder memory: preset 6 needs 9 MiB, preset 9 needs 65 MiB; a stream that asks for more is refused."""
_CHUNK_BYTES = 4 << 20
_REMEDY = "copy the artifact again, or name the compressor that wrote it (artifact.compressor)"


def shuffle(data: bytes, stride: int) -> bytes:
    """Bytes of each residue class of positions modulo ``stride`` together, behind a header.

    Returns:
        ``data`` itself, without a header, for a stride below 2 or longer than the data.

    Raises:
        RecipeError: the stride does not fit the header's one byte.
    """
    if stride < 2 or len(data) < stride:
        return data
    if stride > 255:
        raise RecipeError(f"artifact.shuffle_stride={stride}", "must be at most 255 (one byte)", "2 is the reference's")
    source = np.frombuffer(data, np.uint8)
    classes = [source[residue::stride] for residue in range(stride)]
    return SHUFFLE_MAGIC + bytes([stride]) + np.concatenate(classes).tobytes()


def unshuffle(data: bytes) -> bytes:
    """The inverse of `shuffle`; data without the header is returned as it is.

    Data that itself starts with the header does not survive a `shuffle` that left it alone (REFERENCE 10).
    """
    if len(data) < HEADER_BYTES or not data.startswith(SHUFFLE_MAGIC):
        return data
    stride, body = data[HEADER_BYTES - 1], np.frombuffer(data, np.uint8, offset=HEADER_BYTES)
    if stride < 2:
        return body.tobytes()
    restored, taken = np.empty_like(body), 0
    for residue in range(stride):
        hole = restored[residue::stride]
        hole[:] = body[taken : taken + hole.size]
        taken += hole.size
    return restored.tobytes()


def compress(data: bytes, compressor: str, *, stride: int) -> bytes:
    """Shuffle, then compress with ``brotli`` or ``lzma``."""
    shuffled = shuffle(data, stride)
    if compressor == "brotli":
        compressed: bytes = brotli.compress(shuffled, quality=BROTLI_QUALITY)
        return compressed
    if compressor == "lzma":
        return lzma.compress(shuffled, preset=LZMA_PRESET)
    raise _unknown(compressor)


def decompress(blob: bytes, compressor: str, *, max_bytes: int) -> bytes:
    """Decompress, then unshuffle.

    Args:
        blob: the whole compressed stream, nothing after it.
        compressor: ``brotli`` or ``lzma``.
        max_bytes: largest decompressed size; memory stays within about three times this.

    Raises:
        ArtifactError: damaged, truncated, followed by other data, of another compressor, or above ``max_bytes``.
    """
    if compressor == "brotli":
        return unshuffle(unbrotli(blob, max_bytes))
    if compressor == "lzma":
        return unshuffle(unlzma(blob, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY_BYTES), max_bytes))
    raise _unknown(compressor)


def unbrotli(blob: bytes, max_bytes: int) -> bytes:
    """Decompress one whole brotli stream; memory stays within ``max_bytes``, a chunk and the stream's window (16 MiB).

    Raises:
        ArtifactError: damaged, truncated, followed by other data, or above ``max_bytes``.
    """
    decoder, out, pending = brotli.Decompressor(), bytearray(), blob
    try:
        while not decoder.is_finished():
            piece = decoder.process(pending, output_buffer_limit=_CHUNK_BYTES)
            out += piece
            _check_size(len(out), max_bytes)
            if not piece and not decoder.is_finished():
                raise _damaged("brotli", "it is truncated")
            pending = b""
    except brotli.error as e:
        raise _damaged("brotli", str(e)) from e
    return bytes(out)


def unlzma(blob: bytes, decoder: lzma.LZMADecompressor, max_bytes: int) -> bytes:
    """Decompress one whole xz or raw LZMA stream with a fresh ``decoder``, which bounds its own memory.

    Raises:
        ArtifactError: as `unbrotli`.
    """
    out, pending = bytearray(), blob
    try:
        while not decoder.eof:
            piece = decoder.decompress(pending, max_length=_CHUNK_BYTES)
            out += piece
            _check_size(len(out), max_bytes)
            if not piece and not decoder.eof:
                raise _damaged("lzma", "it is truncated")
            pending = b""
    except lzma.LZMAError as e:
        raise _damaged("lzma", str(e)) from e
    if decoder.unused_data:
        raise _damaged("lzma", f"{len(decoder.unused_data)} bytes follow it")
    return bytes(out)


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise ArtifactError("artifact", f"expands beyond {max_bytes} bytes", "it is no artifact of this model; refused")


def _damaged(stream: str, reason: str) -> ArtifactError:
    return ArtifactError("artifact", f"is not a whole {stream} stream ({reason})", _REMEDY)


def _unknown(compressor: str) -> RecipeError:
    return RecipeError(f"artifact.compressor={compressor!r}", "is not known", "choose brotli or lzma")
