import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import pytest
import torch
from typer.testing import CliRunner

from jobs.evaluate import app
from recur.data.dataset import Dataset
from recur.evaluate.rescore import read_provenance, rescore
from recur.record.result import SeedResult
from recur.seedspec import SeedSpec
from tests.recur.evaluate.attempts import tiny_dataset as attempts_dataset
from tests.recur.evaluate.attempts import tiny_recipe, write_attempt

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return attempts_dataset(tmp_path_factory.mktemp("data"), tiny_recipe())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    return write_attempt(tmp_path_factory.mktemp("sweep") / "a1", tiny_recipe(), dataset.root)


class Scored(TypedDict):
    context_tokens: int
    modes: dict[str, dict[str, float]]


def run_json(artifact: Path, *args: str) -> Scored:
    result = CliRunner().invoke(app, [str(artifact), "--json", *args], catch_exceptions=False)
    assert result.exit_code == 0
    found: Scored = json.loads(result.stdout)
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


def test_a_refit_prints_what_came_out_and_lies_beside_its_sweep(solved: tuple[SeedSpec, SeedResult], tmp_path: Path) -> None:
    spec, result = solved
    args = [str(spec.attempt_dir.path("artifact.ptz")), "--refit", "--out", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    folder = Path(found["folder"])
    assert folder.parts[-2:] == ("seed_42", "a1") and folder.parents[2] == tmp_path
    assert folder.parents[1].name.startswith("refit-")
    assert found["model_sha256"] == result.model_sha256
    assert found["slack_bytes"] == result.slack_bytes
    assert found["divergence"]["tokens"] >= 80_000


def test_a_refit_whose_cap_cannot_be_met_says_so_in_its_table(solved: tuple[SeedSpec, SeedResult], tmp_path: Path) -> None:
    args = ["--refit", "--set", "artifact.cap_bytes=500", "--out", str(tmp_path), "--sweep", "poor"]
    done = run_script(str(solved[0].attempt_dir.folder), *args)
    assert done.returncode == 0, done.stderr
    assert "INVALID" in done.stdout and "smallest size" in " ".join(done.stdout.split())
    folder = Path(done.stdout.strip().splitlines()[-1])
    assert folder == tmp_path / "poor" / "seed_42" / "a1" and (folder / "result.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--refit", "--set", "model.qk_gain_init=2.0"], "cannot be changed by a refit"),
        (["--refit", "--set", "quantize.fisher_batches=5"], "add --recalibrate"),
        (["--refit", "--sweep", "swp"], "exists already"),
        (["--refit", "--sweep", "../up"], "must be the name of a folder"),
        (["--refit", "--mode", "plain"], "only scores"),
        (["--refit", "--address", "127.0.0.1:1"], "add --ray"),
        (["--refit", "--ray", "--address", "127.0.0.1:1"], "does not answer"),
        (["--recalibrate", "2"], "add --refit"),
    ],
)
def test_a_bad_refit_ends_with_one_line_and_exit_code_2(
    solved: tuple[SeedSpec, SeedResult], args: list[str], message: str
) -> None:
    done = run_script(str(solved[0].attempt_dir.folder), *args)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_refit_of_what_is_no_finished_attempt_ends_with_one_line_and_exit_code_2(
    solved: tuple[SeedSpec, SeedResult], tmp_path: Path
) -> None:
    unfinished = tmp_path / "swp" / "seed_42" / "a1"
    unfinished.mkdir(parents=True)
    for message in ("spec.json does not exist", "has no finished training"):
        done = run_script(str(unfinished), "--refit", "--sweep", "new")
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        (unfinished / "spec.json").write_bytes(solved[0].attempt_dir.path("spec.json").read_bytes())
    assert not (tmp_path / "new").exists()
