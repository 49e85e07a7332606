"""`recur check FOLDER`: a table or JSON of findings, and the exit code that they deserve."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from jobs.check import app
from tests.recur.record.check.folders import GOLDEN, clean_folder

ROOT = Path(__file__).parents[4]


def test_a_clean_folder_ends_with_0_and_json_can_be_read(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    result = CliRunner().invoke(app, [str(folder), "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 0 == told["exit_code"]
    assert [f["code"] for f in told["findings"]] == ["better_than_base"]
    assert set(told["findings"][0]) == {"level", "code", "file", "line", "message", "remedy"}


def test_errors_end_with_1_and_are_shown_as_they_are() -> None:
    result = CliRunner().invoke(app, [str(GOLDEN / "pr1421")])
    assert result.exit_code == 1
    assert "submission.json:7" in result.stdout and re.search(r"[1-9] errors, [1-9] warnings, \d+ notes", result.stdout)


def test_text_in_brackets_is_no_markup(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "[red]x[/red]")
    (folder / "train_gpt.py").unlink()
    (folder / "[bold]a.py").symlink_to("/etc/passwd")
    assert "[bold]a.py" in CliRunner().invoke(app, [str(folder)]).stdout


def test_what_is_no_folder_ends_with_2_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/check.py", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_smoke_is_printed_below_the_findings() -> None:
    result = CliRunner().invoke(app, [str(GOLDEN / "pr1421"), "--smoke"])
    assert "code_bytes: 83566" in result.stdout and "num_layers: 11" in result.stdout
