"""A folder with the seven slips of the published review, and one without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from recur.record.check import Level, check_folder
from tests.recur.record.check.folders import clean_folder, found, planted_folder

SEVEN = {
    "log falls through": ("falls_through", "train_gpt.py", 8),
    "serialize returns nothing": ("return_type", "train_gpt.py", 14),
    "train_model returns a tuple": ("return_type", "train_gpt.py", 22),
    "list of entries": ("entry_list", "train_gpt.py", 33),
    "loss is not that of the logs": ("val_loss_not_mean", "submission.json", 7),
    "record over a better base": ("claim", "submission.json", 4),
    "table with doubled bars": ("table", "README.md", 16),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_folder(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("slip", SEVEN)
def test_each_of_the_seven_slips_is_found_where_it_is(planted: Path, slip: str) -> None:
    code, file, line = SEVEN[slip]
    assert (file, line) in [(f.file, f.line) for f in found(planted, code)]


def test_readme_numbers_without_a_source_are_found(planted: Path) -> None:
    assert [f.message.split()[0] for f in found(planted, "number_without_source")] == ["5200", "5400"]
    (deviation,) = found(planted, "deviation_differs")
    assert deviation.message.startswith("0.0004") and "0.000334" in deviation.message


def test_a_feature_that_did_not_run_is_a_note_and_no_verdict(planted: Path) -> None:
    (feature,) = found(planted, "feature")
    assert feature.level is Level.NOTE
    assert feature.message == "TTT code is present (ttt_adapt), not executed according to the logs"


def test_a_folder_written_from_its_logs_has_no_error_and_no_warning(tmp_path: Path) -> None:
    report = check_folder(clean_folder(tmp_path / "clean"))
    assert [f for f in report.findings if f.level is not Level.NOTE] == []
    assert [f.code for f in report.findings] == ["better_than_base"]
    assert report.exit_code == 0
