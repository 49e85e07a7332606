"""Brotli in chunks: any length comes back, one chunk is a plain stream, damaged lengths are refused."""

from __future__ import annotations

import brotli
import numpy as np
import pytest
import torch

from recur.artifact.coders import brotli11
from recur.errors import ArtifactError

CHUNK = 100


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brotli11, "CHUNK_BYTES", CHUNK)


def data(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 4, size, np.uint8).tobytes()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_every_length_comes_back(size: int) -> None:
    assert brotli11.decompress(brotli11.compress(data(size)), size) == data(size)


def test_one_chunk_is_one_plain_stream() -> None:
    assert brotli.decompress(brotli11.compress(data(CHUNK))) == data(CHUNK)


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(brotli11.compress(data(950)))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_damaged_lengths_are_refused() -> None:
    whole = brotli11.compress(data(3 * CHUNK))
    for value in (0, 1, int.from_bytes(whole[:4], "little") + 1, 2**32 - 1):
        with pytest.raises(ArtifactError):
            brotli11.decompress(value.to_bytes(4, "little") + whole[4:], 3 * CHUNK)
    for damaged in (b"", whole[:3], whole[:-1], whole + b"x"):
        with pytest.raises(ArtifactError):
            brotli11.decompress(damaged, 3 * CHUNK)


def test_a_stream_of_more_than_its_chunk_is_refused() -> None:
    streams = [brotli.compress(data(2 * CHUNK)), brotli.compress(b"")]
    forged = len(streams[0]).to_bytes(4, "little") + b"".join(streams)
    with pytest.raises(ArtifactError):
        brotli11.decompress(forged, 2 * CHUNK)
