"""Each number of submission.json that its logs do not carry is found, at the precision it was printed with."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import pstdev
from typing import Any

import pytest

from recur.record.check import Level, check_folder
from recur.record.check.document import Number, decimals_of
from tests.recur.record.check.folders import clean_folder, codes, found, log_text


def change(folder: Path, **fields: Any) -> None:
    path = folder / "submission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields, indent=2))


def change_seed(folder: Path, seed: int, **fields: Any) -> None:
    results = json.loads((folder / "submission.json").read_text())["seed_results"]
    results[str(seed)] |= fields
    change(folder, seed_results=results)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return clean_folder(tmp_path / "folder")


@pytest.mark.parametrize(
    ("literal", "exact", "agrees"),
    [
        ("1.09248", 1.0924766767, True),
        ("1.09247", 1.0924766767, False),
        ("1.09247668", 1.092476676667, True),
        ("1.0925", 1.09245, True),
        ("0.0004", 0.000334, False),
        ("0.0003", 0.000334, True),
        ("15954433", 15954432.67, True),
    ],
)
def test_a_number_agrees_at_its_printed_precision(literal: str, exact: float, agrees: bool) -> None:
    number = Number(value=float(literal), decimals=decimals_of(literal), text=literal, line=1)
    assert number.agrees(exact) is agrees


@pytest.mark.parametrize(("literal", "decimals"), [("7", 0), ("1.50", 2), ("2e-3", 3), ("1.5E2", 0), ("1.25e1", 1)])
def test_digits_after_the_point_follow_the_exponent(literal: str, decimals: int) -> None:
    assert decimals_of(literal) == decimals


@pytest.mark.parametrize("field", ["val_bpb", "val_loss"])
def test_a_mean_that_is_off_by_three_units_of_its_last_digit_is_found(clean: Path, field: str) -> None:
    told = json.loads((clean / "submission.json").read_text())
    change(clean, **{field: round(told[field] + 3e-8, 8)})
    assert [f.level for f in found(clean, f"{field}_not_mean")] == [Level.ERROR]


def test_a_population_deviation_is_named_as_one(clean: Path) -> None:
    results = json.loads((clean / "submission.json").read_text())["seed_results"]
    change(clean, val_bpb_std=round(pstdev(r["val_bpb"] for r in results.values()), 8))
    assert [f.level for f in found(clean, "val_bpb_std_population")] == [Level.WARNING]
    change(clean, val_bpb_std=0.0009)
    assert [f.level for f in found(clean, "val_bpb_std_differs")] == [Level.ERROR]


@pytest.mark.parametrize(
    ("field", "value"), [("val_loss", 2.4), ("artifact_bytes", 15_800_000), ("steps", 4999), ("val_bpb", 1.07)]
)
def test_a_seeds_result_that_is_not_that_of_its_log_is_found_with_the_logs_line(clean: Path, field: str, value: float) -> None:
    change_seed(clean, 42, **{field: value})
    (finding,) = found(clean, f"{field}_differs")
    assert finding.file == "submission.json" and "train_seed42.log:" in finding.message


def test_step_time_and_clocks_of_a_seed_are_checked(clean: Path) -> None:
    change_seed(clean, 42, step_avg_ms=117.0, train_time_s=590.0, eval_time_s=76.5)
    assert not {"step_avg_ms_differs", "train_time_s_differs", "eval_time_s_differs"} & codes(clean)
    change_seed(clean, 42, step_avg_ms=99.0, train_time_s=580.0, eval_time_s=70.0)
    assert {"step_avg_ms_differs", "train_time_s_differs", "eval_time_s_differs"} <= codes(clean)


def test_seeds_logs_and_results_must_name_the_same_runs(clean: Path) -> None:
    change(clean, seeds=[42, 1337, 7])
    (clean / "train_seed9.log").write_text(log_text(9, 1.08, 1, 15_000_000))
    assert {"seeds_differ", "seed_without_log", "seed_not_listed"} <= codes(clean)


def test_a_log_under_the_name_of_another_seed_is_found(clean: Path) -> None:
    (clean / "train_seed42.log").rename(clean / "train_seed43.log")
    (finding,) = found(clean, "seed_in_name")
    assert finding.message == "is of seed 42, its name says 43"


@pytest.mark.parametrize(
    ("pick", "code"), [("mean", "bytes_total_is_mean"), ("least", "bytes_total_not_largest"), ("none", "bytes_total_differs")]
)
def test_total_bytes_must_be_those_of_the_largest_seed(clean: Path, pick: str, code: str) -> None:
    totals = [r["artifact_bytes"] for r in json.loads((clean / "submission.json").read_text())["seed_results"].values()]
    value = {"mean": round(sum(totals) / len(totals)), "least": min(totals), "none": 12_345_678}[pick]
    change(clean, bytes_total=value)
    assert code in codes(clean)


def test_bytes_inside_a_log_must_add_up(clean: Path) -> None:
    path = clean / "train_seed42.log"
    path.write_text(path.read_text().replace("Serialized model int6+brotli: 15800294", "Serialized model int6+brotli: 15800295"))
    (finding,) = found(clean, "log_bytes")
    assert finding.file == "train_seed42.log" and finding.level is Level.ERROR


@pytest.mark.parametrize(
    ("total", "code"), [(16_000_001, "over_cap"), (15_990_001, "near_cap"), (15_990_000, None), (16_000_000, "near_cap")]
)
def test_the_cap_binds_each_seed(clean: Path, total: int, code: str | None) -> None:
    script = (clean / "train_gpt.py").stat().st_size
    (clean / "train_seed42.log").write_text(log_text(42, 1.08011068, script, total - script))
    assert {"over_cap", "near_cap"} & codes(clean) == ({code} if code else set())


def test_a_total_close_to_the_cap_needs_no_warning_where_the_artifact_is_there_to_be_counted(clean: Path) -> None:
    script = (clean / "train_gpt.py").stat().st_size
    (clean / "train_seed42.log").write_text(log_text(42, 1.08011068, script, 15_995_000 - script))
    assert "near_cap" in codes(clean)
    with (clean / "artifact_seed42.ptz").open("wb") as file:
        file.truncate(15_995_000 - script)
    assert not {"near_cap", "over_cap", "artifact_bytes"} & codes(clean)


@pytest.mark.parametrize(("train_ms", "level"), [(590_200, None), (590_201, Level.WARNING), (591_201, Level.ERROR)])
def test_training_and_calibration_share_the_clock(clean: Path, train_ms: int, level: Level | None) -> None:
    path = clean / "train_seed42.log"
    path.write_text(path.read_text().replace("train_time: 590042ms", f"train_time: {train_ms}ms"))
    assert [f.level for f in found(clean, "train_clock")] == ([level] if level else [])


def test_an_evaluation_of_more_than_600_s_is_found(clean: Path) -> None:
    path = clean / "train_seed42.log"
    path.write_text(path.read_text().replace("eval_time:76466ms", "eval_time:600001ms"))
    assert [f.level for f in found(clean, "eval_clock")] == [Level.ERROR]


def test_two_seeds_are_too_few_and_settings_must_be_the_same(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "two", {1: 1.08, 2: 1.081})
    path = folder / "train_seed2.log"
    path.write_text(path.read_text().replace("model_dim: 512", "model_dim: 576"))
    assert {"few_seeds", "settings_differ"} <= codes(folder)
    (finding,) = found(folder, "settings_differ")
    assert finding.message == "model_dim differs between seeds: seed1 512, seed2 576" and finding.line in (2, None)


def test_a_mean_of_rounded_scores_is_told_from_a_wrong_one(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", {1: 1.085535, 2: 1.086645, 3: 1.084625})
    for seed, rounded in ((1, 1.08554), (2, 1.08665), (3, 1.08463)):
        change_seed(folder, seed, val_bpb=rounded)
    change(folder, val_bpb=round((1.08554 + 1.08665 + 1.08463) / 3, 6))
    assert "val_bpb_rounded" in codes(folder) and "val_bpb_not_mean" not in codes(folder)


def test_a_score_after_ttt_counts_where_the_results_name_it(clean: Path) -> None:
    path = clean / "train_seed42.log"
    path.write_text(path.read_text() + "final_int6_ttt val_loss:2.48 val_bpb:1.07900000 eval_time:400000ms\n")
    assert "final_int6_sliding_window at line" in found(clean, "other_score")[0].message
    change_seed(clean, 42, val_bpb=1.079)
    assert "final_int6_ttt at line" in found(clean, "other_score")[0].message


def test_logs_without_a_score_or_with_an_absurd_one_are_errors(clean: Path) -> None:
    (clean / "train_seed42.log").write_text("epoch 1 loss 3\n")
    text = (clean / "train_seed1337.log").read_text()
    (clean / "train_seed1337.log").write_text(text.replace("val_bpb:1.08076612", "val_bpb:nan"))
    assert [f.file for f in found(clean, "log_without_score")] == ["train_seed42.log"]
    assert [f.file for f in found(clean, "score_not_sane")] == ["train_seed1337.log"]


def test_means_and_maxima_of_bytes_and_steps_are_checked(clean: Path) -> None:
    totals = [r["artifact_bytes"] for r in json.loads((clean / "submission.json").read_text())["seed_results"].values()]
    change(clean, artifact_bytes_mean=round(sum(totals) / 3), artifact_bytes_max=max(totals), train_steps_mean=5034.33)
    assert check_folder(clean).exit_code == 0
    change(clean, artifact_bytes_mean=15_000_000, train_steps_mean=5030.0)
    assert {"artifact_bytes_mean_differs", "train_steps_mean_differs"} <= codes(clean)


def test_an_artifact_must_have_the_bytes_of_its_log(clean: Path) -> None:
    (clean / "artifact_seed42.ptz").write_bytes(b"x" * 1000)
    (finding,) = found(clean, "artifact_bytes")
    assert "1000 bytes" in finding.message and "15800294" in finding.message


def test_logs_later_than_the_date_are_noted(clean: Path) -> None:
    path = clean / "train_seed42.log"
    path.write_text("W0409 10:00:00.0 1 torch\n" + path.read_text())
    assert [f.level for f in found(clean, "log_after_date")] == [Level.NOTE]
