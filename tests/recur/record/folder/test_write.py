"""The record folder on the disk: whole or absent, replaced by its own sweep only, its bytes countable again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from recur.errors import ArtifactError, StorageError
from recur.record.folder import gather
from recur.record.result import Scores, SeedResult, State
from tests.recur.record.folder.kit import (
    ABOUT,
    SCRIPT,
    SEEDS,
    read,
    write_results,
    written,
)
from tests.recur.record.samples import finished


def test_a_folder_holds_what_a_submission_needs_and_its_bytes_can_be_counted_again(three: Path) -> None:
    folder = written(gather(three), three)
    names = {p.name for p in folder.iterdir()}
    per_seed = {
        f"{kind.format(seed)}" for seed in SEEDS for kind in ("train_seed{}.log", "train_seed{}.jsonl", "artifact_seed{}.ptz")
    }
    assert names == {"README.md", "submission.json", "train_gpt.py", "requirements.txt", "gates.json"} | per_seed
    told = read(folder / "submission.json")
    code = (folder / "train_gpt.py").stat().st_size
    for seed in SEEDS:
        artifact = folder / f"artifact_seed{seed}.ptz"
        assert told["seed_results"][str(seed)]["artifact_bytes"] == artifact.stat().st_size + code
        assert hashlib.sha256(artifact.read_bytes()).hexdigest() == told["provenance"]["artifacts"][str(seed)]
    assert told["bytes_total"] == max(r["artifact_bytes"] for r in told["seed_results"].values()) == told["artifact_bytes_max"]
    assert told["bytes_code"] == code == len(SCRIPT)


def test_writing_again_replaces_the_folder_of_the_same_sweep_also_under_another_date(three: Path) -> None:
    source = gather(three)
    first = written(source, three, dataclasses.replace(ABOUT, date="2026-01-02"))
    (first / "stray.txt").write_text("left over")
    first.with_name(f".{first.name}.0123abcd.tmp").mkdir()  # what a kill leaves
    again = written(source, three, dataclasses.replace(ABOUT, date="2026-01-02"))
    assert again == first and not (again / "stray.txt").exists()
    assert [p.name for p in again.parent.iterdir()] == [again.name]
    moved = written(source, three, dataclasses.replace(ABOUT, date="2026-01-03"))
    assert [p.name for p in (three / "record").glob("*/*")] == [moved.name]


def test_a_folder_of_another_sweep_is_never_touched(three: Path) -> None:
    source = gather(three)
    folder = written(source, three)
    told = read(folder / "gates.json")
    (folder / "gates.json").write_text(json.dumps(told | {"sweep": "somebody-else"}))
    with pytest.raises(StorageError, match="is not of sweep tiny-sweep"):
        written(source, three)
    assert read(folder / "gates.json")["sweep"] == "somebody-else"


@pytest.mark.parametrize("broken", ["artifact", "rename"])
def test_a_write_that_fails_leaves_the_former_folder_whole(three: Path, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = gather(three)
    folder = written(source, three)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    if broken == "artifact":
        source.seeds[1].artifact.unlink()
        source.seeds[1].artifact.mkdir()
    else:
        monkeypatch.setattr("recur.data.staging._publish", full_disk)
    with pytest.raises(StorageError):
        written(source, three)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def full_disk(staging: Path, target: Path) -> None:
    assert (staging / "README.md").exists() and not target.exists()
    raise OSError(28, "No space left on device")


def test_a_script_that_is_not_the_counted_one_is_refused(tiny_dataset: Dataset, three: Path) -> None:
    source = gather(three)
    cfg = dataclasses.replace(source.recipe.artifact, code_bytes=len(SCRIPT) + 1, code_bytes_source="bundle")
    counted = dataclasses.replace(source, recipe=dataclasses.replace(source.recipe, artifact=cfg))
    with pytest.raises(ArtifactError, match="bytes that the run's cap counted"):
        written(counted, three)


def test_a_sweep_without_gates_a_score_or_matching_files_is_refused(three: Path) -> None:
    gates = three / "seed_42" / "a1" / "gates.json"
    kept = gates.read_bytes()
    gates.unlink()
    with pytest.raises(ArtifactError, match="has no gates"):
        gather(three)
    gates.write_bytes(kept)
    record = three / "seed_1337" / "a1" / "record_evaluate.json"
    told = read(record)
    told["fields"]["scores"]["sliding"]["nats"] += 1e-6
    record.write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match="in its result and"):
        gather(three)
    (three / "seed_42" / "a1" / "artifact.ptz").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="is damaged"):
        gather(three)
    write_results(three, [SeedResult(seed=42, state=State.FAILED, attempt=1, error="x")])
    with pytest.raises(ArtifactError, match="no seed that SUCCEEDED"):
        gather(three)
    write_results(three, [finished(42, sliding=5.0), dataclasses.replace(finished(7), val_bpb=Scores(trained=5.0))])
    with pytest.raises(ArtifactError, match="has no sliding score of seed 7"):
        gather(three)
