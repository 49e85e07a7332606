"""Byte shuffle, compression, bounded decompression (REFERENCE 10)."""

from __future__ import annotations

import lzma
import resource
import time
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.artifact.coding import compress, decompress, shuffle, unshuffle
from recur.errors import ArtifactError, RecipeError

COMPRESSORS = ["brotli", "lzma"]
MAX_BYTES = 4 << 20


def slow_shuffle(data: bytes, stride: int) -> bytes:
    if stride < 2 or len(data) < stride:
        return data
    order = sorted(range(len(data)), key=lambda i: (i % stride, i))
    return b"BSHF" + bytes([stride]) + bytes(data[i] for i in order)


def bomb(compressor: str, megabytes: int) -> bytes:
    """Zeros, compressed piece by piece so that making them takes no memory."""
    piece = bytes(1 << 20)
    if compressor == "lzma":
        encoder = lzma.LZMACompressor(preset=1)
        return b"".join(encoder.compress(piece) for _ in range(megabytes)) + encoder.flush()
    coder = brotli.Compressor(quality=1)
    blob: bytes = b"".join(coder.process(piece) for _ in range(megabytes)) + coder.finish()
    return blob


def test_shuffle_by_hand() -> None:
    assert shuffle(b"abcde", 2) == b"BSHF\x02acebd"
    assert unshuffle(b"BSHF\x03adbec") == b"abcde"
    assert shuffle(b"a", 2) == b"a"
    assert shuffle(b"abc", 1) == shuffle(b"abc", 0) == b"abc"
    assert unshuffle(b"BSHF\x01abc") == b"abc"


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), stride=st.integers(0, 255))
def test_shuffle_equals_the_slow_one_and_comes_back(data: bytes, stride: int) -> None:
    out = shuffle(data, stride)
    assert out == slow_shuffle(data, stride)
    if out != data or not data.startswith(b"BSHF"):
        assert unshuffle(out) == data


def test_a_stride_that_does_not_fit_a_byte_is_refused() -> None:
    with pytest.raises(RecipeError, match="shuffle_stride=256"):
        shuffle(bytes(300), 256)


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=3000), compressor=st.sampled_from(COMPRESSORS), stride=st.sampled_from([0, 2, 4]))
def test_compression_comes_back(data: bytes, compressor: str, stride: int) -> None:
    if not data.startswith(b"BSHF"):
        assert decompress(compress(data, compressor, stride=stride), compressor, max_bytes=MAX_BYTES) == data


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_every_truncation_is_refused(compressor: str) -> None:
    blob = compress(bytes(range(256)) * 4, compressor, stride=2)
    for length in range(len(blob)):
        with pytest.raises(ArtifactError):
            decompress(blob[:length], compressor, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_data_after_the_stream_is_refused(compressor: str) -> None:
    blob = compress(bytes(1000), compressor, stride=2)
    for tail in (b"\x00", b"more", blob):
        with pytest.raises(ArtifactError):
            decompress(blob + tail, compressor, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("blob", [b"", b"hello, this is no artifact", b"PK\x03\x04", b"\xff" * 64])
def test_other_data_is_refused(compressor: str, blob: bytes) -> None:
    with pytest.raises(ArtifactError, match="is not a whole"):
        decompress(blob, compressor, max_bytes=MAX_BYTES)


def test_the_other_compressor_is_refused_and_an_unknown_one_named() -> None:
    blob = compress(bytes(1000), "lzma", stride=2)
    with pytest.raises(ArtifactError, match="brotli"):
        decompress(blob, "brotli", max_bytes=MAX_BYTES)
    calls: tuple[Callable[[], bytes], ...]
    calls = (lambda: compress(b"", "zip", stride=0), lambda: decompress(b"", "zip", max_bytes=1))
    for call in calls:
        with pytest.raises(RecipeError, match="choose brotli or lzma"):
            call()


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_a_bomb_is_refused_at_once_and_in_little_memory(compressor: str) -> None:
    blob = bomb(compressor, 512)
    assert len(blob) < 200_000
    before_kib, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ArtifactError, match=f"expands beyond {MAX_BYTES} bytes"):
        decompress(blob, compressor, max_bytes=MAX_BYTES)
    assert time.perf_counter() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 << 10


def test_the_limit_itself_is_allowed() -> None:
    for compressor in COMPRESSORS:
        blob = compress(bytes(5000), compressor, stride=0)
        assert len(decompress(blob, compressor, max_bytes=5000)) == 5000
        with pytest.raises(ArtifactError):
            decompress(blob, compressor, max_bytes=4999)


def test_a_stream_that_asks_for_a_large_dictionary_is_refused() -> None:
    blob = bytearray(lzma.compress(bytes(100), preset=0))
    blob[16] = 36  # dictionary size code in the block header: 1 GiB
    blob[20:24] = zlib.crc32(bytes(blob[12:20])).to_bytes(4, "little")
    assert lzma.decompress(bytes(blob)) == bytes(100)
    with pytest.raises(ArtifactError, match="Memory usage limit"):
        decompress(bytes(blob), "lzma", max_bytes=MAX_BYTES)
