"""sweep.json and results.csv: the same numbers."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from recur.errors import ArtifactError
from recur.record.report import read_results, read_sweep, write_sweep
from recur.record.result import Phase
from tests.recur.record.samples import failed, finished, sweep


def test_sweep_json_has_the_fields_that_were_promised(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep(finished()))
    document = json.loads((tmp_path / "sweep.json").read_text())
    top = "sweep profile fingerprint n mean_val_bpb std_val_bpb mean_total_bytes max_total_bytes seeds"
    assert set(top.split()) <= set(document)
    seed = (
        "seed state attempt steps tokens_per_s mfu val_bpb val_loss model_bytes code_bytes code_bytes_source "
        "total_bytes cap_bytes slack_bytes seconds placement"
    )
    assert set(seed.split()) <= set(document["seeds"][0])
    for scores in ("val_bpb", "val_loss"):
        assert list(document["seeds"][0][scores]) == ["last_step", "trained", "roundtrip", "sliding"]


def test_a_sweep_written_is_the_sweep_read(tmp_path: Path) -> None:
    result = sweep(finished(), finished(1337, sliding=1.1), failed())
    write_sweep(tmp_path, result)
    assert read_sweep(tmp_path) == result
    assert read_sweep(tmp_path / "sweep.json") == result


def test_csv_and_json_parse_to_the_same_floats(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep(finished(), finished(1337, sliding=0.1 + 0.7), failed()))
    seeds = json.loads((tmp_path / "sweep.json").read_text())["seeds"]
    frame = read_results(tmp_path)
    assert list(frame["seed"]) == [42, 1337, 7]
    for seed, (_, row) in zip(seeds, frame.iterrows(), strict=True):
        for scores in ("val_bpb", "val_loss"):
            for stage, value in seed[scores].items():
                assert _same(row[f"{scores}_{stage}"], value)
        for phase in Phase:
            assert _same(row[f"seconds_{phase}"], (seed["seconds"] or {}).get(phase.value))
        for name in ("tokens_per_s", "mfu", "total_bytes", "slack_bytes", "scored_bytes", "steps"):
            assert _same(row[name], seed[name])


def test_integers_stay_integers_in_the_csv(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep(finished(), failed()))
    with (tmp_path / "results.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [r["total_bytes"] for r in rows] == ["1100", ""]
    assert json.loads(rows[0]["placement"]) == {"nodes": ["n1"], "workers": 8, "record": True}
    assert rows[0]["state"] == "SUCCEEDED"


def test_a_number_that_is_none_is_null_in_both(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep(finished(sliding=math.nan)))
    assert json.loads((tmp_path / "sweep.json").read_text())["seeds"][0]["val_bpb"]["sliding"] is None
    assert pd.isna(read_results(tmp_path)["val_bpb_sliding"][0])


def test_a_sweep_without_seeds_is_still_two_whole_files(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep())
    assert read_sweep(tmp_path).seeds == ()
    assert len(read_results(tmp_path)) == 0


def test_a_folder_without_a_sweep_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"sweep\.json does not exist; give the folder of a sweep"):
        read_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"sweep\.json"):
        read_sweep(tmp_path)


def _same(cell: float, value: float | None) -> bool:
    return bool(pd.isna(cell)) if value is None else float(cell) == float(value)
