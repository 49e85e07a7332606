"""Attempts on disk: records, payloads, adoption, clocks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recur.errors import ArtifactError, StorageError
from recur.record.atomic import sha256_of
from recur.record.attempt import AttemptDir, next_attempt
from recur.record.result import Phase


class Clock:
    """Seconds that tick by one at every reading."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def first(tmp_path: Path) -> AttemptDir:
    """Attempt 1 with training (a folder of two files) and quantization finished, evaluation begun."""
    attempt = AttemptDir(tmp_path, 42, 1, Clock()).create()
    attempt.path("trained").mkdir()
    attempt.path("trained/ema.bin").write_bytes(b"weights")
    attempt.path("trained/summary.json").write_text("{}")
    attempt.append_event("step", {"step": 240, "loss": 2.5})
    attempt.append_interval("train", 0, 100, shard="a.bin")
    attempt.write_clock("train", 9.5, start_at=100.0, stop_at=101.0)
    attempt.write_record(Phase.TRAIN, {"steps": 240, "loss": float("nan")}, ["trained"])
    attempt.path("model.ptz").write_bytes(b"codes")
    attempt.write_record(Phase.QUANTIZE, {"layers": 66}, ["model.ptz"])
    attempt.append_interval("score", 0, 64)
    attempt.write_clock("eval", 1.0, start_at=attempt.clock(), stop_at=attempt.clock())
    return attempt


def test_the_folder_is_where_the_architecture_says(tmp_path: Path) -> None:
    assert AttemptDir(tmp_path / "s1", 42, 3).folder == tmp_path / "s1" / "seed_42" / "a3"
    assert not (tmp_path / "s1").exists()


def test_a_record_says_phase_time_fields_and_payloads(first: AttemptDir) -> None:
    document = json.loads(first.path("record_train.json").read_text())
    assert document["phase"] == "train"
    assert document["fields"] == {"steps": 240, "loss": None}
    assert [p["file"] for p in document["payloads"]] == ["trained/ema.bin", "trained/summary.json"]
    assert document["payloads"][0]["size_bytes"] == 7
    assert document["payloads"][0]["sha256"] == sha256_of(first.path("trained/ema.bin"))


def test_a_record_written_is_the_record_read(first: AttemptDir) -> None:
    written = first.write_record(Phase.FIT, {"pruned": 3, "rates": [1.5, None]}, ["model.ptz"])
    assert first.read_record(Phase.FIT) == written


def test_a_phase_without_its_record_is_unfinished(first: AttemptDir) -> None:
    assert first.read_record(Phase.VERIFY) is None
    assert not first.finished(Phase.VERIFY)
    assert first.finished(Phase.TRAIN)


def test_a_damaged_payload_is_refused_with_its_name_and_both_hashes(first: AttemptDir) -> None:
    whole = sha256_of(first.path("model.ptz"))
    first.path("model.ptz").write_bytes(b"c0des")
    with pytest.raises(ArtifactError) as caught:
        first.read_record(Phase.QUANTIZE)
    for part in ("model.ptz", whole, sha256_of(first.path("model.ptz"))):
        assert part in str(caught.value)


def test_a_cut_or_missing_payload_is_refused(first: AttemptDir) -> None:
    first.path("model.ptz").write_bytes(b"cod")
    with pytest.raises(ArtifactError, match="is damaged"):
        first.read_record(Phase.QUANTIZE)
    first.path("model.ptz").unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        first.read_record(Phase.QUANTIZE)


def test_a_record_with_a_false_size_is_refused(first: AttemptDir) -> None:
    document = json.loads(first.path("record_quantize.json").read_text())
    document["payloads"][0]["size_bytes"] = 4
    first.path("record_quantize.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="has 5 bytes, but its record says 4"):
        first.read_record(Phase.QUANTIZE)


@pytest.mark.parametrize("name", ["../model.ptz", "/etc/passwd", ""])
def test_a_payload_outside_the_folder_is_refused(first: AttemptDir, name: str) -> None:
    with pytest.raises(ArtifactError, match="must lie inside"):
        first.write_record(Phase.FIT, {}, [name])


def test_a_record_of_a_missing_payload_is_not_written(first: AttemptDir) -> None:
    with pytest.raises(StorageError):
        first.write_record(Phase.FIT, {}, ["absent.bin"])
    assert first.read_record(Phase.FIT) is None


def test_a_later_attempt_adopts_what_is_finished(first: AttemptDir) -> None:
    second = AttemptDir(first.root, 42, 2)
    adoption = second.adopt(first, (Phase.TRAIN, Phase.QUANTIZE, Phase.FIT, Phase.EVALUATE))
    assert adoption.phases == (Phase.TRAIN, Phase.QUANTIZE)
    assert adoption.stopped_by == "fit of attempt 1 is unfinished"
    assert second.read_record(Phase.TRAIN) == first.read_record(Phase.TRAIN)
    assert second.path("trained/ema.bin").stat().st_ino == first.path("trained/ema.bin").stat().st_ino


def test_clocks_intervals_and_events_of_adopted_phases_come_along_and_no_others(first: AttemptDir) -> None:
    second = AttemptDir(first.root, 42, 2)
    second.adopt(first, (Phase.TRAIN, Phase.QUANTIZE))
    assert second.read_clock() == {"train_s": 9.5, "stamps": {"train": {"start_at": 100.0, "stop_at": 101.0}}}
    rows = [json.loads(line) for line in second.path("intervals.jsonl").read_text().splitlines()]
    assert [(r["kind"], r["start"], r["stop"], r["shard"]) for r in rows] == [("train", 0, 100, "a.bin")]
    assert second.path("progress.jsonl").read_text() == first.path("progress.jsonl").read_text()


def test_adoption_stops_at_a_damaged_phase(first: AttemptDir) -> None:
    first.path("model.ptz").write_bytes(b"")
    adoption = AttemptDir(first.root, 42, 2).adopt(first, (Phase.TRAIN, Phase.QUANTIZE))
    assert adoption.phases == (Phase.TRAIN,)
    assert adoption.stopped_by is not None
    assert "model.ptz is damaged" in adoption.stopped_by


def test_adoption_copies_where_files_cannot_be_linked(first: AttemptDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    second = AttemptDir(first.root, 42, 2)
    second.adopt(first, (Phase.TRAIN,))
    assert second.path("trained/ema.bin").read_bytes() == b"weights"
    assert second.path("trained/ema.bin").stat().st_ino != first.path("trained/ema.bin").stat().st_ino


def test_adopting_from_an_empty_attempt_takes_nothing(tmp_path: Path) -> None:
    adoption = AttemptDir(tmp_path, 1, 2).adopt(AttemptDir(tmp_path, 1, 1))
    assert adoption.phases == ()
    assert not AttemptDir(tmp_path, 1, 2).folder.exists()


def test_the_three_clocks_are_kept_side_by_side(tmp_path: Path) -> None:
    attempt = AttemptDir(tmp_path, 1, 1)
    assert attempt.read_clock() is None
    attempt.write_clock("train", 590.0, start_at=1.0, stop_at=600.0)
    attempt.write_clock("data_read", 9.8, start_at=600.0, stop_at=609.8)
    attempt.write_clock("eval", 80.0, start_at=700.0, stop_at=780.0)
    clock = attempt.read_clock()
    assert clock is not None
    assert (clock["train_s"], clock["data_read_s"], clock["eval_s"]) == (590.0, 9.8, 80.0)
    assert clock["stamps"]["data_read"] == {"start_at": 600.0, "stop_at": 609.8}  # type: ignore[index]


def test_the_next_attempt_counts_from_the_highest_folder(tmp_path: Path) -> None:
    assert next_attempt(tmp_path, 42) == 1
    for attempt in (1, 3, 12):
        AttemptDir(tmp_path, 42, attempt).create()
    (tmp_path / "seed_42" / "abc").mkdir()
    assert next_attempt(tmp_path, 42) == 13
    assert next_attempt(tmp_path, 7) == 1


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "seed_42").write_text("")
    with pytest.raises(StorageError):
        AttemptDir(tmp_path, 42, 1).create()
