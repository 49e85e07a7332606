"""A sweep that the service took in is prepared in a process of its own, and reported in another, from files only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.preparing import prepare_request, read_request
from cluster.reporting import report_outcome
from recur.errors import ArtifactError, DataError
from recur.pipeline import LocalBackend, run_seed
from recur.recipe import recipe_to_json
from recur.record.codec import to_json
from recur.record.report import read_results, read_sweep
from recur.record.result import SeedResult, State
from recur.seedspec import SeedSpec, load_spec, save_spec
from tests.cluster.kit import ROOT, clean_environment
from tests.recipes import tiny_recipe


def request_file(out: Path, *overrides: str, seeds: tuple[int, ...] = (1,), sweep: str = "asked") -> Path:
    """A request.json as the service writes it."""
    recipe = json.loads(recipe_to_json(tiny_recipe(*overrides)))
    path = out / sweep / "request.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"sweep": sweep, "seeds": seeds, "recipe": recipe}))
    return path


def run_script(name: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """A script of jobs/ to its end."""
    command = [sys.executable, f"jobs/{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(home), capture_output=True, text=True, check=False)


def test_a_request_becomes_a_spec_a_run_and_a_report(tmp_path: Path) -> None:
    request = request_file(tmp_path, seeds=(1, 2))
    asked = run_script("prepare.py", "--request", str(request), home=tmp_path)
    assert asked.returncode == 0, asked.stderr
    spec = json.loads((request.parent / "sweep_spec.json").read_text())
    assert spec["seeds"] == [1, 2] and len(spec["fingerprint"]) == 64 and Path(spec["dataset_root"]).is_dir()

    seed = SeedSpec(sweep="asked", seed=1, attempt=1, recipe=tiny_recipe(), dataset_root=Path(spec["dataset_root"]), out=tmp_path)
    attempt = seed.attempt_dir.create()
    save_spec(attempt.path("spec.json"), seed)
    result = run_seed(load_spec(attempt.path("spec.json")), LocalBackend())
    failed = SeedResult(seed=2, state=State.FAILED, attempt=1, error="its node burned down")
    (request.parent / "outcome.json").write_text(json.dumps({"seeds": [to_json(result), to_json(failed)]}))
    told = run_script("report.py", str(request.parent), home=tmp_path)

    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "no record folder: not every seed has numbers"
    sweep = read_sweep(request.parent)
    assert sweep.fingerprint == spec["fingerprint"] and sweep.n == 1 and sweep.state is State.FAILED
    assert sweep.seeds[0].val_bpb == result.val_bpb
    assert read_results(request.parent)["val_bpb_sliding"][0] == result.val_bpb.sliding
    assert json.loads((request.parent / "report.json").read_text()) == {"record_path": None, "warning": None}
    assert (request.parent / "plots").is_dir()


def test_preparing_twice_leaves_the_first_spec(tmp_path: Path) -> None:
    request = request_file(tmp_path)
    spec = prepare_request(request)
    before = spec.read_bytes(), spec.stat().st_mtime_ns
    assert prepare_request(request) == spec
    assert (spec.read_bytes(), spec.stat().st_mtime_ns) == before


def test_a_request_that_cannot_be_prepared_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    request = request_file(tmp_path, 'data.source="shards"')
    done = run_script("prepare.py", "--request", str(request), home=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (request.parent / "sweep_spec.json").exists()
    with pytest.raises(DataError):
        prepare_request(request)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sweep": "other", "seeds": [1], "recipe": {}}', '{"sweep": "asked"}'])
def test_a_damaged_request_is_refused_by_name(tmp_path: Path, text: str) -> None:
    request = request_file(tmp_path)
    request.write_text(text)
    with pytest.raises(ArtifactError, match=r"request\.json"):
        read_request(request)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"seeds": [{"seed": "x"}]}'])
def test_a_missing_or_damaged_outcome_is_refused_by_name(tmp_path: Path, text: str | None) -> None:
    request = request_file(tmp_path)
    asked = {**json.loads(request.read_text()), "fingerprint": "0" * 64, "dataset_root": "/nowhere", "note": ""}
    (request.parent / "sweep_spec.json").write_text(json.dumps(asked))
    if text is not None:
        (request.parent / "outcome.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"outcome\.json"):
        report_outcome(request.parent)
