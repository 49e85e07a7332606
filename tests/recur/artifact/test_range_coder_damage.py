"""Damaged streams of the range coder: refused, or codes of the right shape."""

from __future__ import annotations

import numpy as np
import pytest

from recur.artifact.range_coder import CodeBlock, Geometry, decode_blocks, encode_blocks
from recur.errors import ArtifactError
from tests.recur.artifact.coded import block, gaussian, golden_blocks, hints


def damaged_blocks() -> tuple[bytes, list[Geometry]]:
    blocks = [block(gaussian(11, 40, 30, row_spread=0.8)), *golden_blocks()]
    return encode_blocks(blocks), [b.geometry for b in blocks]


def refused_or_right_shape(data: bytes, geometry: list[Geometry]) -> bool:
    """Whether the data was refused; anything but the one error fails the test."""
    try:
        found = decode_blocks(data, geometry)
    except ArtifactError as e:
        assert e.value and e.rule and e.remedy
        return True
    assert [f.shape for f in found] == [g.shape for g in geometry]
    return False


def test_flipped_bits_are_refused_or_give_codes_of_the_right_shape() -> None:
    data, geometry = damaged_blocks()
    draw = np.random.default_rng(12)
    for position in draw.integers(0, 8 * len(data), size=400):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << (position % 8)
        refused_or_right_shape(bytes(flipped), geometry)


@pytest.mark.parametrize("fill", [0, 1, 2])
def test_other_words_are_refused_or_give_codes_of_the_right_shape(fill: int) -> None:
    data, geometry = damaged_blocks()
    size = len(data) - 6
    for seed in range(100):
        draw = np.random.default_rng(seed)
        words = [draw.bytes(size), bytes([255]) * size, bytes(size)][fill]
        header = bytes([2, int(draw.integers(0, 256))]) + data[2:6]
        refused_or_right_shape(header + words, geometry)


def test_missing_and_trailing_data_are_refused() -> None:
    data, geometry = damaged_blocks()
    for other in (*(data[:n] for n in range(0, len(data), 7)), data + b"\0", data + bytes(4)):
        assert refused_or_right_shape(other, geometry)


def test_words_beyond_the_last_code_are_refused() -> None:
    data, geometry = damaged_blocks()
    words = (len(data) - 6) // 4 + 3
    with pytest.raises(ArtifactError, match="more than the codes"):
        decode_blocks(data[:2] + words.to_bytes(4, "little") + data[6:] + b"\x55" * 12, geometry)


@pytest.mark.parametrize(("header", "rule"), [(b"\x01\x00", "must be 2"), (b"\x02\xf0", "prior shape 15")])
def test_unknown_headers_are_refused(header: bytes, rule: str) -> None:
    with pytest.raises(ArtifactError, match=rule):
        decode_blocks(header + bytes(4), [])


def test_hints_of_another_length_are_refused() -> None:
    with pytest.raises(ArtifactError, match="one of each per row and column"):
        CodeBlock(codes=np.zeros((3, 2), np.int8), geometry=Geometry(row_hints=hints(2), col_hints=hints(2)))
    with pytest.raises(ArtifactError, match="one of each"):
        CodeBlock(codes=np.zeros((3, 2), np.int8), geometry=Geometry(row_hints=hints(3), col_hints=np.zeros((1, 2), int)))
