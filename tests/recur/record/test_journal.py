"""Append-only JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.errors import ArtifactError, StorageError
from recur.record.journal import append_line, read_events


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    for step in range(5):
        append_line(path, "step", {"step": step, "loss": 1 / (step + 1)}, at=float(step))
    events = read_events(path)
    assert [e.number("step") for e in events] == [0, 1, 2, 3, 4]
    assert events[2].number("loss") == 1 / 3
    assert (events[4].at, events[4].kind, events[4].number("absent")) == (4.0, "step", None)


def test_an_unfinished_last_line_is_left_out_and_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    append_line(path, "step", {"step": 1}, at=0.0)
    with path.open("ab") as f:
        f.write(b'{"at": 1.0, "kind": "st')
    assert [e.number("step") for e in read_events(path)] == [1]
    append_line(path, "step", {"step": 2}, at=2.0)
    assert [e.number("step") for e in read_events(path)] == [1, 2]


def test_a_file_of_one_unfinished_line_has_no_events(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"at"')
    assert read_events(path) == []
    append_line(path, "stop", {}, at=1.0)
    assert [e.kind for e in read_events(path)] == ["stop"]


def test_no_file_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none") == []


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"at": 1}', b'{"kind": "x", "at": "noon"}'])
def test_a_whole_line_that_is_no_event_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"at": 1, "kind": "a"}\n' + line + b"\n")
    with pytest.raises(ArtifactError, match=r"p\.jsonl:2"):
        read_events(path)


def test_reserved_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reserved"):
        append_line(tmp_path / "p", "step", {"kind": "x"}, at=0.0)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        append_line(tmp_path / "file" / "p", "step", {}, at=0.0)


def test_a_loss_that_is_not_a_number_is_null(tmp_path: Path) -> None:
    append_line(tmp_path / "p", "step", {"loss": float("nan")}, at=0.0)
    assert read_events(tmp_path / "p")[0].fields == {"loss": None}
