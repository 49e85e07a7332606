"""Shard files: what is written is read, and what is damaged is refused with one line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.data.shards import HEADER_BYTES, open_tokens, read_header, read_stream, write_shard
from recur.errors import DataError


def test_a_shard_is_laid_out_as_published(tmp_path: Path) -> None:
    path = tmp_path / "s.bin"
    write_shard(path, np.array([1, 513, 65535]))
    raw = path.read_bytes()
    assert raw[:HEADER_BYTES] == struct.pack("<256i", 20240520, 1, 3, *[0] * 253)
    assert raw[HEADER_BYTES:] == struct.pack("<3H", 1, 513, 65535)


@given(tokens=st.lists(st.integers(0, 65535), max_size=50))
def test_tokens_come_back_as_written(tokens: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("shards") / "s.bin"
    write_shard(path, np.array(tokens, np.int64))
    assert open_tokens(path).tolist() == tokens


@pytest.mark.parametrize(
    ("offset", "word", "message"), [(0, 20240521, "must be 20240520"), (4, 2, "must be 1"), (8, -1, "negative")]
)
def test_a_wrong_header_word_is_refused(tmp_path: Path, offset: int, word: int, message: str) -> None:
    path = tmp_path / "s.bin"
    write_shard(path, np.arange(10))
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 4] = struct.pack("<i", word)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        open_tokens(path)


@pytest.mark.parametrize("change", [-1, -2, 2])
def test_a_size_other_than_the_header_says_is_refused(tmp_path: Path, change: int) -> None:
    path = tmp_path / "s.bin"
    write_shard(path, np.arange(10))
    raw = path.read_bytes()
    path.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    assert read_header(path) == 10
    with pytest.raises(DataError, match="must be 1044 for the 10 tokens"):
        open_tokens(path)


def test_a_file_shorter_than_a_header_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.bin"
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(DataError, match="shorter than its 1024-byte header"):
        open_tokens(path)
    with pytest.raises(DataError, match="cannot be read"):
        open_tokens(tmp_path / "absent.bin")


def test_an_id_beyond_uint16_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not fit in uint16"):
        write_shard(tmp_path / "s.bin", np.array([65536]))
    assert not (tmp_path / "s.bin").exists()


def test_an_empty_shard_is_a_shard_without_tokens(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.bin", np.zeros(0, np.uint16))
    assert open_tokens(tmp_path / "s.bin").size == 0


@pytest.mark.parametrize(("count", "kept"), [(9, 9), (10, 9), (12, 9), (13, 13), (5, 5)])
def test_a_stream_is_cut_to_whole_windows_plus_one(tmp_path: Path, count: int, kept: int) -> None:
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    write_shard(paths[0], np.arange(3))
    write_shard(paths[1], np.arange(3, count))
    assert read_stream(paths, 4).tolist() == list(range(kept))


def test_a_stream_shorter_than_one_window_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.bin", np.arange(4))
    with pytest.raises(DataError, match=r"4 tokens is shorter than one window of evaluate\.seq_len\+1=5"):
        read_stream([tmp_path / "a.bin"], 4)
    with pytest.raises(DataError, match="at least one"):
        read_stream([], 4)
