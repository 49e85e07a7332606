"""`cluster.overlap` on a real head: the second seed takes the GPUs while the first is quantized, and neither loses by it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from recur.record.attempt import AttemptDir
from recur.record.journal import read_events
from recur.record.report import read_sweep
from recur.record.result import Phase, State
from tests.cluster.kit import ROOT, ray_head, script, set_flags, short_folder

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

OVERLAP = ("cluster.workers=2", "cluster.gpus_per_worker=1", "cluster.fanout_cpus=2", "cluster.overlap=true")


def test_the_second_seed_starts_while_the_first_is_quantized(tiny_dataset: Dataset) -> None:
    with ray_head(cpus=4, gpus=2) as head, short_folder() as out:
        flags = [*set_flags(*OVERLAP), "--seeds", "42,1337", "--data", str(tiny_dataset.root), "--out", str(out)]
        line = script("jobs/record.py", *flags, "--sweep", "overlap", "--address", head.gcs)
        done = subprocess.run(line, env=dict(head.environment), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 seeds, 1 at a time" in done.stdout
        assert read_sweep(out / "overlap").state is State.SUCCEEDED
        assert entered(out / "overlap", 42, Phase.QUANTIZE) < submitted(out / "overlap", 1337) < ended(out / "overlap", 42)


def submitted(root: Path, seed: int) -> float:
    events = read_events(root / "events.jsonl")
    return next(e.at for e in events if (e.fields["seed"], e.fields["state"]) == (seed, State.SUBMITTING))


def ended(root: Path, seed: int) -> float:
    return AttemptDir(root, seed, 1).path("result.json").stat().st_mtime


def entered(root: Path, seed: int, phase: Phase) -> float:
    events = read_events(AttemptDir(root, seed, 1).path("progress.jsonl"))
    return next(e.at for e in events if e.kind == "phase" and e.fields["phase"] == phase.value)
