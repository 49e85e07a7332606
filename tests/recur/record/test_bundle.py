"""The one-file script: small enough, on its own, and its artifact and score are the package's."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recur.data.dataset import Dataset
from recur.recipe import load_recipe
from recur.record.bundle import REQUIRED, Bundle, _bundle, bundle, requirements, with_code_bytes
from recur.record.bundle.kept import kept
from recur.record.bundle.pack import escaped
from recur.record.lines import score_line
from recur.record.result import SeedResult
from recur.seedspec import SeedSpec

LARGEST_BYTES = 25_000
Solved = tuple[SeedSpec, SeedResult]


@pytest.fixture(scope="module")
def script(solved: Solved, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "train_gpt.py"
    path.write_bytes(bundle(solved[0].recipe).source)
    return path


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script with as many threads as this process, in a folder without our packages."""
    threads = str(torch.get_num_threads())
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": threads}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, cwd=script.parent, env=environment, capture_output=True, text=True, check=False)


def test_our_own_recipes_take_at_most_25000_bytes_and_every_way_of_asking_gives_the_same_bytes() -> None:
    recipe = load_recipe("recur")
    made = bundle(recipe)
    assert max(len(made.source), len(bundle(load_recipe("smoke_recur")).source)) <= LARGEST_BYTES
    counted = with_code_bytes(recipe)
    assert counted.artifact.code_bytes == len(made.source)
    assert bundle(counted).source == made.source
    faithful = load_recipe("record_1421")
    assert with_code_bytes(faithful) == faithful


def test_a_script_is_kept_and_found_again_and_a_folder_that_cannot_be_used_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, made = load_recipe("smoke"), list[bytes]()

    def make() -> bytes:
        made.append(b"script")
        return made[-1]

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert [kept(recipe, make) for _ in range(2)] == [b"script"] * 2 and len(made) == 1
    (file,) = (tmp_path / "home").rglob("*.py")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert kept(recipe, make) == b"script" and made.pop() == b"script"
    assert kept(load_recipe("smoke", ["train.steps=7"]), make) == b"script" and len(made) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert kept(recipe, make) == b"script" and len(made) == 3


def test_a_script_made_anew_has_the_bytes_of_the_one_that_was_kept(
    script: Path, solved: Solved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _bundle.cache_clear()
    assert bundle(solved[0].recipe).source == script.read_bytes()


def test_the_script_trains_the_artifact_of_the_package_byte_for_byte(script: Path, solved: Solved, tmp_path: Path) -> None:
    spec, result = solved
    done = run(script, "--data", str(spec.dataset_root), "--seed", str(spec.seed), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    artifact = (tmp_path / "artifact.ptz").read_bytes()
    assert artifact == spec.attempt_dir.path("artifact.ptz").read_bytes()
    assert f"Total submission size grid+range: {len(artifact)} bytes" in done.stdout
    assert score_of(done.stdout, "final_grid_roundtrip") == score_of(expected_line(result), "final_grid_roundtrip")
    assert (
        "3/3 train_loss: " in done.stdout
        and "recurrence:activated at step 1, virtual_layers=[0, 1, 2, 1, 2, 3, 4]" in done.stdout
    )


def test_the_script_scores_an_artifact_as_the_package_does(script: Path, solved: Solved) -> None:
    spec, result = solved
    artifact = spec.attempt_dir.path("artifact.ptz")
    done = run(script, "--data", str(spec.dataset_root), "--evaluate", str(artifact))
    assert done.returncode == 0, done.stderr
    assert score_of(done.stdout, "final_grid_roundtrip") == score_of(expected_line(result), "final_grid_roundtrip")
    assert "train_loss" not in done.stdout


def expected_line(result: SeedResult) -> str:
    loss, bpb = result.val_loss.roundtrip, result.val_bpb.roundtrip
    assert loss is not None and bpb is not None
    return score_line("roundtrip", "grid+range", loss, bpb, 0.0)


def score_of(log: str, name: str) -> str:
    (line,) = (line for line in log.splitlines() if line.startswith(name + " "))
    return line.partition(" eval_time:")[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data", "nowhere"), "--data nowhere has no dataset.json"),
        (("--data", "DATA", "--evaluate", "nothing.ptz"), "--evaluate nothing.ptz is not a file"),
        (("--data", "DATA", "--evaluate", "train_gpt.py"), "artifact is damaged or of another recipe"),
        (("--data", "DATA", "--seed", "many"), "invalid int value: 'many'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    script: Path, tiny_dataset: Dataset, arguments: tuple[str, ...], says: str
) -> None:
    done = run(script, *(str(tiny_dataset.root) if a == "DATA" else a for a in arguments))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and says in line


def test_the_readable_form_imports_only_what_is_required(solved: Solved) -> None:
    recipe = solved[0].recipe
    plain = Bundle(source=b"", recipe=recipe).plain
    tree = ast.parse(plain)
    modules = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    modules |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    # FlashAttention-3 is used where it is installed and looked for by name only
    assert foreign == set(REQUIRED)
    assert [line.partition("==")[0] for line in requirements().splitlines()] == list(REQUIRED)
    assert "One physical layer;" in plain


def test_any_bytes_survive_the_carrier() -> None:
    data = bytes(range(256)) + b"'''" + b"\\'" + b"\x00" + b"7" + b"\r\n" + b"'"
    source = b"#coding:latin1\nvalue = '''" + escaped(data) + b"'''.encode('latin1')\n"
    scope: dict[str, bytes] = {}
    exec(compile(source, "carrier", "exec"), scope)
    assert scope["value"] == data
