"""`python jobs/data.py`: one screen when it works, one line and exit code 2 when the input is bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import run_app
from recur.data.dataset import load_dataset
from recur.errors import DataError, RecurError
from tests.recur.data.hub_server import Hub, serve
from tests.recur.data.samples import VOCAB, sentences, write_jsonl
from tests.recur.data.test_fetch import CFG, REPO, published

SCRIPT = Path(__file__).parents[2] / "jobs" / "data.py"
SMALL = ["--set", f"model.vocab_size={VOCAB}", "--set", "data.val_docs=4"]


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The script as a user starts it, from any folder, without the repository on the path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_docs_makes_a_dataset_and_prints_one_screen(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "docs.jsonl", sentences(60))
    done = run("docs", "docs.jsonl", "--out", "out", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dataset = load_dataset(next((tmp_path / "out").iterdir()))
    assert dataset.sha256 in done.stdout
    assert f"{dataset.val_text_bytes:,} decoded" in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    again = run("check", dataset.root, cwd=tmp_path)
    assert (again.returncode, dataset.sha256 in again.stdout) == (0, True)


def test_embedded_needs_no_arguments_but_a_folder(tmp_path: Path) -> None:
    done = run("embedded", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CPython" in done.stdout


def test_fetch_reads_repository_and_variant_from_the_recipe(tmp_path: Path) -> None:
    settings = [f"data.repo_id={REPO}", f"data.variant={CFG.variant}", "data.train_shards=2", f"model.vocab_size={VOCAB}"]
    options = [part for text in settings for part in ("--set", text)]
    with serve(Hub(REPO, published(tmp_path))) as hub:
        done = run("fetch", "--out", "out", "--endpoint", hub.url, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 train shards, 1 validation shards" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["docs", "few.jsonl", *SMALL], "documents=3 must be more than data.val_docs=4"),
        (["docs", "absent.jsonl"], "docs=absent.jsonl names no file"),
        (["docs", "broken.jsonl", *SMALL], "broken.jsonl:2 is not JSON"),
        (["docs", "few.jsonl", "--tokenizer", "few.jsonl"], "is not a readable SentencePiece model"),
        (["embedded", "--profile", "smok"], "is not a known profile"),
        (["embedded", "--set", "data.val_doc=3"], "is not a key of the recipe"),
        (["embedded", "--set", "data.val_docs=100000"], "must be more than data.val_docs=100000"),
        (["embedded", "--out", "broken.jsonl"], "cannot be written"),
        (["fetch", "--endpoint", "http://127.0.0.1:9"], "cannot be downloaded"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], rule: str) -> None:
    write_jsonl(tmp_path / "few.jsonl", sentences(3))
    (tmp_path / "broken.jsonl").write_text(json.dumps({"text": "fine"}) + "\n{broken\n")
    extra = [] if "--out" in arguments else ["--out", "out"]
    done = run(*arguments, *extra, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert rule in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out/**/dataset.json"))


@pytest.mark.parametrize(
    ("outcome", "code", "line"),
    [
        (DataError("a=1", "must be 2", "set it"), 2, "error: a=1 must be 2; set it\n"),
        (RecurError("it broke"), 1, "failed: it broke\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (None, 0, ""),
    ],
)
def test_every_outcome_has_its_exit_code(
    outcome: BaseException | None, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        if outcome:
            raise outcome

    with pytest.raises(SystemExit) as ended:
        run_app(app)
    assert ended.value.code == code
    assert capsys.readouterr().err == line
