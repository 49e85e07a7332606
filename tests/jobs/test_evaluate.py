import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from jobs.evaluate import app
from recur.data.dataset import Dataset
from recur.evaluate.rescore import read_provenance, rescore
from tests.recur.evaluate.attempts import tiny_dataset, tiny_recipe, write_attempt

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("data"), tiny_recipe())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    return write_attempt(tmp_path_factory.mktemp("sweep") / "a1", tiny_recipe(), dataset.root)


def run_json(artifact: Path, *args: str) -> dict[str, dict[str, dict[str, float]]]:
    result = CliRunner().invoke(app, [str(artifact), "--json", *args], catch_exceptions=False)
    assert result.exit_code == 0
    found: dict[str, dict[str, dict[str, float]]] = json.loads(result.stdout)
    return found


def run_script(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/evaluate.py", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_recipes_modes_are_scored_by_default(artifact: Path) -> None:
    found = run_json(artifact)["modes"]
    scores = rescore(artifact, read_provenance(artifact), modes=("plain", "sliding"), context_tokens=None, device=CPU)
    assert list(found) == ["plain", "sliding"]
    assert found["sliding"]["val_bpb"] == scores["sliding"].val_bpb
    assert found["plain"]["tokens"] == scores["plain"].tokens


def test_chosen_modes_and_overrides_are_used(artifact: Path) -> None:
    found = run_json(artifact, "--mode", "ttt", "--mode", "sliding", "--set", "evaluate.ttt.epochs=0")["modes"]
    assert list(found) == ["ttt", "sliding"]
    assert found["ttt"]["nats"] == pytest.approx(found["sliding"]["nats"], rel=1e-6)


def test_a_context_of_one_token_is_scored_on_the_same_targets(artifact: Path) -> None:
    full, one = run_json(artifact, "--mode", "plain"), run_json(artifact, "--mode", "plain", "--context", "1")
    assert (full["context_tokens"], one["context_tokens"]) == (32, 1)
    assert full["modes"]["plain"]["tokens"] == one["modes"]["plain"]["tokens"]
    assert full["modes"]["plain"]["nats"] != one["modes"]["plain"]["nats"]


def test_the_script_prints_a_table(artifact: Path) -> None:
    done = run_script(str(artifact), "--mode", "plain")
    assert done.returncode == 0, done.stderr
    assert "val_bpb" in done.stdout and "plain" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--mode", "backwards"], "choose one of plain, sliding, ttt"),
        (["--set", "evaluate.strid=4"], "is not a key of the recipe"),
        (["--context", "512"], "evaluate.val_batch_tokens"),
        (["--data", "nowhere"], "is no prepared dataset"),
    ],
)
def test_bad_input_ends_with_one_line_and_exit_code_2(artifact: Path, args: list[str], message: str) -> None:
    done = run_script(str(artifact), *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_artifact_ends_with_one_line_and_exit_code_2(tmp_path: Path, dataset: Dataset) -> None:
    path = write_attempt(tmp_path / "a1", tiny_recipe(), dataset.root)
    path.write_bytes(path.read_bytes()[:1000])
    done = run_script(str(path))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and "artifact.ptz" in done.stderr
