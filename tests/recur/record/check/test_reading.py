"""A folder that nobody vouches for is read without following links, without a crash, and with every oddity named."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recur.errors import InputError
from recur.record.check import check_folder
from recur.record.check import read as reading
from recur.record.check.document import Document, read_document
from recur.record.check.finding import error, report
from recur.record.check.read import Text, list_folder, read_text
from tests.recur.record.check.folders import clean_folder, codes, found, log_text

LOG = log_text(42, 1.09, 1000, 15_000_000).encode()


def document(text: str) -> Document:
    return read_document(Text(name="submission.json", text=text, size_bytes=len(text)))


def test_links_are_reported_and_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"author": "outside"}')
    folder = clean_folder(tmp_path / "folder")
    (folder / "submission.json").unlink()
    (folder / "submission.json").symlink_to(secret)
    (folder / "more").symlink_to(tmp_path, target_is_directory=True)
    assert sorted(f.file for f in found(folder, "link")) == ["more", "submission.json"]
    assert "outside" not in str(check_folder(folder))
    assert list_folder(folder).files.keys().isdisjoint({"submission.json", "more"})


def test_paths_that_lead_out_are_reported_with_their_line(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    told = json.loads((folder / "submission.json").read_text())
    told |= {"technique_summary": "see ../../other/notes.md", "calibration": "/etc/passwd"}
    (folder / "submission.json").write_text(json.dumps(told, indent=2))
    (folder / "requirements.txt").write_text("torch\n-r ../../requirements.txt\n")
    places = {(f.file, f.line) for f in found(folder, "path_outside")}
    lines = (folder / "submission.json").read_text().splitlines()
    in_json = {("submission.json", i) for i, line in enumerate(lines, start=1) if "technique_summary" in line or "passwd" in line}
    assert places == in_json | {("requirements.txt", 2)}


def test_pipes_deep_folders_and_bad_bytes_are_findings(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    os.mkfifo(folder / "train_seed7.log")
    (folder / "a/b/c/d/e").mkdir(parents=True)
    (folder / "README.md").write_bytes(b"# Title\nfine\nbad \xff byte\n")
    (bad,) = found(folder, "not_utf8")
    assert (bad.file, bad.line) == ("README.md", 3)
    assert {"not_a_file", "too_deep"} <= codes(folder)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 700)
    folder = clean_folder(tmp_path / "folder")
    text = read_text(list_folder(folder), "train_seed42.log")
    assert text is not None and text.text == "" and [f.code for f in text.findings] == ["too_large"]
    assert "log_without_score" in codes(folder)


def test_too_many_files_end_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ENTRIES", 3)
    assert "too_many_files" in codes(clean_folder(tmp_path / "folder"))


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not a folder"):
        check_folder(tmp_path / name)


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    assert [f.message for f in found(tmp_path, "missing_file")] == [
        "README.md is missing",
        "no train_seed<N>.log",
        "submission.json is missing",
        "train_gpt.py is missing",
        "requirements.txt is missing",
    ]


ABSURD = {
    "no JSON": ('{"author": \n oops}', 2),
    "a list": ("[1, 2]", 1),
    "empty": ("", 1),
    "not a number": ('{\n"val_bpb": NaN}', 2),
    "infinite": ('{\n\n"val_bpb": 1e999}', 3),
    "a number of 400 digits": ('{"a": 1,\n"val_bpb": ' + "9" * 400 + "}", 2),
    "a number of 5,000 digits": ('{"val_bpb": ' + "9" * 5000 + "}", None),
    "given twice": ('{"name": "a",\n"val_bpb": 1,\n"val_bpb": 2}', 3),
    "nested": ('{"a":\n' + "[" * 100_000 + "}", 2),
    "large": ('{"a": "' + "x" * 2_000_000 + '"}', None),
}


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_json_is_a_finding_with_its_line(case: str) -> None:
    text, line = ABSURD[case]
    findings = document(text).findings
    assert [(f.code, f.line) for f in findings] == [("json", line)]


def test_wrong_types_are_findings_with_their_lines(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    told = json.loads((folder / "submission.json").read_text())
    told |= {"author": 7, "val_bpb": "1.09", "seeds": {"42": True}, "date": "2026-02-30", "track": "fast", "fun": 1}
    text = json.dumps(told, indent=1)
    (folder / "submission.json").write_text(text)
    lines = {name: next(i for i, row in enumerate(text.splitlines(), 1) if f'"{name}":' in row) for name in told}
    wrong = {f.line for f in found(folder, "field")}
    assert wrong == {lines[name] for name in ("author", "val_bpb", "seeds", "date", "track")}
    assert [f.line for f in found(folder, "unknown_field")] == [lines["fun"]]


def test_lines_and_printed_digits_of_values_are_kept() -> None:
    told = document('{\n "a": {\n  "b": [1.50,\n   {"c": 2e-3}]},\n "d": 7}')
    number = told.number("a", "b", "0")
    assert number is not None and (number.text, number.decimals, number.line) == ("1.50", 2, 3)
    inner = told.number("a", "b", "1", "c")
    assert inner is not None and (inner.decimals, inner.line) == (3, 4)
    assert told.line("d") == 5 and told.number("missing") is None


def test_text_of_a_folder_cannot_move_the_cursor() -> None:
    shown = report("x", [error("code", "bad \x1b[2J text\nand more", "do\x07", file="a\rb")]).findings[0]
    assert shown.message == "bad ?[2J text?and more" and shown.remedy == "do?" and shown.file == "a?b"


def test_a_flood_of_one_kind_is_cut_and_counted(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    (folder / "README.md").write_text("".join(f"number 7.{i:06d}\n" for i in range(1, 400)))
    flood = found(folder, "number_without_source")
    assert len(flood) == 51 and any("more findings of the kind" in f.message for f in flood)


def check_bytes(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        for f in check_folder(folder).findings:
            assert f.message and f.remedy and (f.line is None or f.line >= 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.binary(max_size=300), log=st.binary(max_size=300), readme=st.binary(max_size=300), script=st.binary(max_size=200))
@example(told=b"\x00", log=b"\xff\xfe", readme=b"||\n||", script=b"\x00")
def test_random_bytes_never_crash_it(told: bytes, log: bytes, readme: bytes, script: bytes) -> None:
    check_bytes({"submission.json": told, "train_seed42.log": log, "README.md": readme, "train_gpt.py": script})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["42", "#1334", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["42", "val_bpb", "artifact_bytes", "é"]), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [
    "val_bpb",
    "val_loss",
    "val_bpb_std",
    "seeds",
    "seed_results",
    "bytes_total",
    "date",
    "base_pr",
    "t_statistic",
    "name",
    "blurb",
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=st.dictionaries(st.sampled_from([*FIELDS, "comparison_baseline_pr", "delta_vs_pr1019_bpb"]), JSON, max_size=9))
def test_any_json_of_known_fields_never_crashes_it(told: dict[str, object]) -> None:
    check_bytes(
        {"submission.json": json.dumps(told).encode(), "train_seed42.log": LOG, "README.md": b"built on PR #1334: 1.2345"}
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_log_never_crashes_it(data: st.DataObject) -> None:
    lines = LOG.decode().splitlines()
    i = data.draw(st.integers(0, len(lines) - 1))
    number = data.draw(st.sampled_from(["nan", "inf", "-1", "0", "1e308", "9" * 18, "1e999", "٣.٥", "", "1.2.3"]))
    damaged = [*lines[:i], *[w.replace("1", number) for w in lines[i : i + 2]], *lines[i + 2 :]]
    text = "\n".join(damaged).encode()
    check_bytes({"train_seed42.log": text, "train_seed7.log": LOG, "README.md": b"mean 1.0900, std 0.0004"})
