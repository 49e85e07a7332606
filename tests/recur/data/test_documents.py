"""Reading documents: formats, globs, and the line number of what is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recur.data.documents import expand, read_documents
from recur.errors import DataError
from tests.recur.data.samples import write_jsonl


def texts(*paths: Path) -> list[str]:
    return [d.text for d in read_documents(paths)]


def test_jsonl_and_gzipped_jsonl_read_alike(tmp_path: Path) -> None:
    plain = write_jsonl(tmp_path / "a.jsonl", ["one", "zw\u00f6lf", ""])
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert texts(plain) == texts(packed) == ["one", "zw\u00f6lf", ""]


def test_blank_lines_are_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"text": "a", "source": 3}\n  \n{"text": "b"}')
    assert [d.name for d in read_documents([path])] == [f"{path}:2", f"{path}:4"]


def test_a_txt_file_is_one_document_unless_it_is_parted(tmp_path: Path) -> None:
    whole, parted = tmp_path / "w.txt", tmp_path / "p.txt"
    whole.write_text("line\n\nline\n")
    parted.write_text("first\n<|endoftext|>\nsecond\nthird\n")
    assert texts(whole, parted) == ["line\n\nline\n", "first\n", "second\nthird\n"]


def test_globs_are_sorted_and_no_file_comes_twice(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.jsonl"):
        (tmp_path / name).write_text("x")
    found = expand([str(tmp_path / "*.txt"), str(tmp_path / "c.jsonl"), str(tmp_path / "a.txt")])
    assert [p.name for p in found] == ["a.txt", "b.txt", "c.jsonl"]


@pytest.mark.parametrize(("name", "rule"), [("absent*.jsonl", "names no file"), ("a.csv", "must end in")])
def test_a_pattern_without_usable_files_is_refused(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=rule):
        expand([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"{broken", "is not JSON"),
        (b'{"body": "a"}', "has no string 'text'"),
        (b'{"text": 3}', "has no string 'text'"),
        (b'["text"]', "has no string 'text'"),
        (b'{"text": "\\ud800"}', "half a surrogate"),
        (b'{"text": "\xff"}', "is not UTF-8"),
        (b"[" * 100000, "is not JSON"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: bytes, rule: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(DataError, match=rf"a\.jsonl:2 .*{rule}") as caught:
        texts(path)
    assert "\n" not in str(caught.value)


def test_a_cut_off_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-20])
    with pytest.raises(DataError, match="cannot be read to its end"):
        texts(path)
    path.write_bytes(b"plainly not gzip")
    with pytest.raises(DataError, match="cannot be read to its end"):
        texts(path)


def test_a_txt_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        texts(path)
