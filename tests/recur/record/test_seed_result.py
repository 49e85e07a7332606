"""result.json: the attempt that counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir, artifact_path, read_seed_result, write_seed_result
from recur.record.result import Phase, SeedResult
from tests.recur.record.samples import failed, finished

CODES = b"codes" * 200


def with_artifact(root: Path, attempt: int = 1) -> SeedResult:
    folder = AttemptDir(root, 42, attempt).create()
    folder.path("model.int6.ptz").write_bytes(CODES)
    folder.write_record(Phase.FIT, {}, ["model.int6.ptz"])
    return replace(finished(42, attempt=attempt), model_sha256=hashlib.sha256(CODES).hexdigest())


def test_a_result_written_is_the_result_read(tmp_path: Path) -> None:
    result = with_artifact(tmp_path)
    assert read_seed_result(tmp_path, 42) is None
    path = write_seed_result(tmp_path, result)
    assert path == tmp_path / "seed_42" / "result.json"
    assert read_seed_result(tmp_path, 42) == result


def test_the_result_points_to_the_artifact_of_its_attempt(tmp_path: Path) -> None:
    write_seed_result(tmp_path, with_artifact(tmp_path, attempt=2))
    assert json.loads((tmp_path / "seed_42" / "result.json").read_text())["artifact"] == "a2/model.int6.ptz"
    assert artifact_path(tmp_path, 42) == tmp_path / "seed_42" / "a2" / "model.int6.ptz"
    assert artifact_path(tmp_path, 43) is None


def test_a_damaged_artifact_is_refused_with_both_hashes(tmp_path: Path) -> None:
    result = with_artifact(tmp_path)
    write_seed_result(tmp_path, result)
    (tmp_path / "seed_42" / "a1" / "model.int6.ptz").write_bytes(CODES[:-1])
    with pytest.raises(ArtifactError, match=r"model\.int6\.ptz is damaged") as caught:
        read_seed_result(tmp_path, 42)
    assert str(result.model_sha256) in str(caught.value)
    assert hashlib.sha256(CODES[:-1]).hexdigest() in str(caught.value)


def test_a_result_never_gives_way_to_an_earlier_attempt(tmp_path: Path) -> None:
    write_seed_result(tmp_path, finished(42, attempt=2))
    with pytest.raises(ArtifactError, match=r"attempt=1 is older than attempt 2"):
        write_seed_result(tmp_path, finished(42, attempt=1))
    kept = read_seed_result(tmp_path, 42)
    assert kept is not None
    assert kept.attempt == 2


def test_a_result_gives_way_to_a_later_or_the_same_attempt(tmp_path: Path) -> None:
    write_seed_result(tmp_path, failed(42))
    for later in (finished(42, attempt=2), finished(42, attempt=3, sliding=1.0)):
        write_seed_result(tmp_path, later)
        assert read_seed_result(tmp_path, 42) == later


def test_an_artifact_that_no_record_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a payload of any record"):
        write_seed_result(tmp_path, replace(finished(42), model_sha256="0" * 64))
    assert read_seed_result(tmp_path, 42) is None


def test_a_pointer_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = write_seed_result(tmp_path, with_artifact(tmp_path))
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "artifact": "../../secret"}))
    with pytest.raises(ArtifactError, match="must lie inside"):
        read_seed_result(tmp_path, 42)


def test_a_failed_seed_has_a_result_without_artifact(tmp_path: Path) -> None:
    write_seed_result(tmp_path, failed(7))
    assert read_seed_result(tmp_path, 7) == failed(7)
    assert artifact_path(tmp_path, 7) is None
