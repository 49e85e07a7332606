"""The one-file script in an environment with its requirements.txt alone: it trains and scores what the package does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from recur.record.bundle import bundle, requirements
from recur.record.lines import score_line
from recur.record.report import read_sweep
from recur.record.result import SeedResult
from recur.seedspec import SeedSpec, load_spec

ROOT = Path(__file__).parents[2]
SEED = 42


@dataclass(frozen=True, kw_only=True)
class PackageRun:
    """What the package left of one seed in one process."""

    spec: SeedSpec
    result: SeedResult
    artifact: Path


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """A command outside the repository, one thread, without our packages on its path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def package_run(tmp_path_factory: pytest.TempPathFactory) -> PackageRun:
    out = tmp_path_factory.mktemp("package")
    command = [sys.executable, str(ROOT / "jobs" / "seed.py"), "--profile", "smoke_recur"]
    run([*command, "--seed", str(SEED), "--out", str(out), "--sweep", "alone"], PYTHONPATH=str(ROOT))
    folder = out / "alone" / f"seed_{SEED}" / "a1"
    (result,) = read_sweep(out / "alone").seeds
    return PackageRun(spec=load_spec(folder / "spec.json"), result=result, artifact=folder / "artifact.ptz")


@pytest.fixture(scope="module")
def script(package_run: PackageRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of that run's recipe."""
    path = tmp_path_factory.mktemp("folder") / "train_gpt.py"
    path.write_bytes(bundle(package_run.spec.recipe).source)
    assert path.stat().st_size == package_run.result.code_bytes
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a new environment that has the requirements and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    wanted = folder / "requirements.txt"
    wanted.write_text(requirements())
    run([sys.executable, "-m", "venv", str(folder / "venv")])
    interpreter = str(folder / "venv" / "bin" / "python")
    run([interpreter, "-m", "pip", "install", "-q", "-r", str(wanted)])
    for name in ("ray", "pydantic", "recur", "safetensors"):
        probe = [interpreter, "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({name!r}) is not None)"]
        run(probe)
    return interpreter


def scores(log: str) -> dict[str, str]:
    """Lines of final scores by stage, without the time they took."""
    lines = [line.partition(" eval_time:")[0] for line in log.splitlines() if line.startswith("final_")]
    return {line.split()[0]: line for line in lines}


def expected(result: SeedResult) -> dict[str, str]:
    loss, bpb = result.val_loss, result.val_bpb
    assert loss.roundtrip and bpb.roundtrip and loss.sliding and bpb.sliding
    lines = [
        score_line("roundtrip", "grid+range", loss.roundtrip, bpb.roundtrip, 0.0),
        score_line("sliding", "grid+range", loss.sliding, bpb.sliding, 0.0),
    ]
    return scores("\n".join(lines))


def test_evaluate_reproduces_the_score(python: str, script: Path, package_run: PackageRun) -> None:
    data = str(package_run.spec.dataset_root)
    done = run([python, str(script), "--data", data, "--evaluate", str(package_run.artifact)])
    assert scores(done.stdout) == expected(package_run.result)


def test_training_writes_the_artifact_of_the_package(python: str, script: Path, package_run: PackageRun, tmp_path: Path) -> None:
    data = str(package_run.spec.dataset_root)
    done = run([python, str(script), "--data", data, "--seed", str(SEED), "--out", str(tmp_path)])
    assert (tmp_path / "artifact.ptz").read_bytes() == package_run.artifact.read_bytes()
    assert scores(done.stdout) == expected(package_run.result)


def test_two_ranks_of_torchrun_train_and_score_together(
    python: str, script: Path, package_run: PackageRun, tmp_path: Path
) -> None:
    data = str(package_run.spec.dataset_root)
    start = [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script), "--data", data]
    trained = run([*start, "--seed", str(SEED), "--out", str(tmp_path)])
    again = run([*start, "--evaluate", str(tmp_path / "artifact.ptz")])
    assert scores(trained.stdout) == scores(again.stdout)
