"""`jobs/compare.py` as a person meets it: the stored sample against its other sweep and against published lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.compare import app
from jobs.errors import run_app

ROOT = Path(__file__).parents[2]
SAMPLE, BESIDE = ROOT / "docs" / "sample", ROOT / "docs" / "sample" / "beside"


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of compare.py with these arguments, run in this process."""
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    text = capsys.readouterr()
    return int(str(ended.value.code or 0)), text.out, text.err


def test_two_real_sweeps_are_compared_by_their_stored_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, str(SAMPLE), str(BESIDE / "sweep.json"), "--json")
    document = json.loads(out)
    first, other = (json.loads((folder / "sweep.json").read_text()) for folder in (SAMPLE, BESIDE))
    assert code == 0
    assert document["a"]["label"] == first["sweep"]
    assert document["difference_bpb"] == pytest.approx(first["mean_val_bpb"] - other["mean_val_bpb"])
    assert document["difference_bytes"] == pytest.approx(first["mean_total_bytes"] - other["mean_total_bytes"])
    assert document["verdict"]["tests"][0]["plain"]["n_new"] == first["n"]


def test_the_script_prints_a_table_and_one_sentence_and_draws_a_picture(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/compare.py", "1421", "#1334", "--plot", str(tmp_path / "pair.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("PR 1421 is worse than PR 1334: +0.00276 BPB")
    assert "10.84" in done.stdout
    assert (tmp_path / "pair.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_sweep_is_not_compared_with_a_line_on_another_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, str(SAMPLE), "pr1334")
    assert code == 0
    assert "cannot be compared with" in out
    assert "different texts" in out


def test_a_name_below_the_output_folder_is_a_sweep(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "sample", "beside", "--out", str(ROOT / "docs"), "--json")
    assert (code, out) == (2, "")
    code, out, _ = run(capsys, monkeypatch, "sample", "sample/beside", "--out", str(ROOT / "docs"), "--json")
    assert code == 0
    assert json.loads(out)["b"]["label"] == json.loads((BESIDE / "sweep.json").read_text())["sweep"]


def test_what_is_not_known_is_one_line_with_near_names_and_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out, err = run(capsys, monkeypatch, "#1333", "1421", "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "near: #1334" in err
    code, _, err = run(capsys, monkeypatch, "nothing", "1421", "--out", str(tmp_path))
    assert code == 2
    assert "no known line" in err
    code, _, _ = run(capsys, monkeypatch, "1421")
    assert code == 2
