"""Whole files or none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from recur.errors import ArtifactError, StorageError
from recur.record import atomic
from recur.record.atomic import finite, read_json, sha256_of, write_bytes_atomic, write_json_atomic


def test_json_written_is_json_read(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True], "b": {"c": "ä"}}
    write_json_atomic(tmp_path / "deep" / "x.json", value)
    assert read_json(tmp_path / "deep" / "x.json") == value


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    write_bytes_atomic(tmp_path / "x", b"1")
    write_bytes_atomic(tmp_path / "x", b"22")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"22"


def test_full_disk_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes_atomic(tmp_path / "x", b"old")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        write_bytes_atomic(tmp_path / "x", b"new")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always-full device")
def test_a_device_that_is_really_full_is_a_storage_error(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x" * 100_000)

    with pytest.raises(StorageError, match="No space left"):
        atomic.write_atomic(tmp_path / "x", fill)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_bytes_atomic(tmp_path / "file" / "x", b"")


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "x", {"loss": math.nan, "up": (math.inf, 1.0)})
    assert json.loads((tmp_path / "x").read_text()) == {"loss": None, "up": [None, 1.0]}
    assert finite("nan") == "nan"


def test_text_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ArtifactError, match=r"x\.json is not JSON"):
        read_json(tmp_path / "x.json")


def test_hash_of_a_file_by_hand_and_of_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    write_bytes_atomic(tmp_path / "x", b"")
    (tmp_path / "y").write_bytes(b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode
