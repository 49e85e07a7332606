"""Research mode: killed at random moments and by the loss of a worker, it ends bit for bit like a run that nobody disturbed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recur.data.dataset import Dataset
from recur.record.atomic import read_json
from recur.record.journal import read_events
from recur.record.result import Phase, State
from recur.seedspec import SeedSpec, save_spec
from tests.api.volume import measured
from tests.cluster.kit import ROOT, clean_environment, ray_head, short_folder
from tests.faults.kit import Run, kill, seed_spec
from tests.recipes import tiny_recipe

KILLS = 20
STEPS = 240
CHILD = """
import sys
from pathlib import Path

import torch

from recur.pipeline import LocalBackend, run_seed
from recur.seedspec import load_spec

torch.set_num_threads(1)
run_seed(load_spec(Path(sys.argv[1])), LocalBackend())
"""


def research_spec(out: Path, dataset: Dataset) -> SeedSpec:
    recipe = tiny_recipe(
        "mode=research", "train.checkpoint_every_s=0.2", f"train.steps={STEPS}", "train.log_every=1", "train.val_every=60"
    )
    return SeedSpec(sweep="research", seed=5, attempt=1, recipe=recipe, dataset_root=dataset.root, out=out)


@pytest.mark.timeout(1200)
def test_killed_at_twenty_random_moments_it_ends_like_the_run_that_was_not(tmp_path: Path, tiny_dataset: Dataset) -> None:
    whole, broken = research_spec(tmp_path / "whole", tiny_dataset), research_spec(tmp_path / "broken", tiny_dataset)
    line, environment = [sys.executable, "-c", CHILD], clean_environment(tmp_path)
    for spec in (whole, broken):
        save_spec(spec.attempt_dir.create().path("spec.json"), spec)
    subprocess.run([*line, whole.attempt_dir.path("spec.json")], env=environment, cwd=ROOT, check=True)
    rng, kills, events = random.Random(20), 0, broken.attempt_dir.path("progress.jsonl")
    while kills < KILLS:
        life = subprocess.Popen([*line, str(broken.attempt_dir.path("spec.json"))], env=environment, cwd=ROOT)
        before, wanted = len(read_events(events)), rng.randint(1, STEPS // 8)
        while life.poll() is None and len(read_events(events)) < before + wanted:
            time.sleep(0.01)
        if life.poll() is not None:
            assert life.returncode == 0
            break  # it came to its end before its kill
        time.sleep(rng.random() * 0.2)
        life.send_signal(signal.SIGKILL)
        life.wait()
        kills += 1
    subprocess.run([*line, broken.attempt_dir.path("spec.json")], env=environment, cwd=ROOT, check=True)
    for name in ("ema.safetensors", "hessians.safetensors", "artifact.ptz"):
        assert broken.attempt_dir.path(name).read_bytes() == whole.attempt_dir.path(name).read_bytes(), name
    mine, theirs = (read_json(spec.attempt_dir.path("result.json")) for spec in (broken, whole))
    assert isinstance(mine, dict) and isinstance(theirs, dict)
    assert mine["val_bpb"] == theirs["val_bpb"] and mine["state"] == "SUCCEEDED"
    told = read_events(events)
    resumed = [e.fields["step"] for e in told if e.kind == "resumed"]
    measured("research_kills", {"kills": kills, "resumed": len(resumed), "differences": 0})
    assert kills == KILLS and len(resumed) >= KILLS // 2


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_training_that_loses_a_worker_goes_on_inside_its_attempt(tiny_dataset: Dataset) -> None:
    with ray_head(cpus=4, gpus=8) as head, short_folder() as out:
        overrides = ("mode=research", "train.checkpoint_every_s=0.2", "train.steps=150")
        plain = Run(seed_spec(out, tiny_dataset, "plain", *overrides), (5,), head)
        plain.until(lambda: plain.loop.done, 300)
        run = Run(seed_spec(out, tiny_dataset, "broken", *overrides), (5,), head)
        progress = run.attempt(5).path("progress.jsonl")

        def saved() -> bool:
            return any(e.kind == "checkpoint" for e in read_events(progress))

        run.until(saved, 300)
        pid = run.beat_pid(5)
        assert pid is not None and run.in_phase(5, Phase.TRAIN)
        kill({pid})
        run.until(lambda: run.loop.done, 300)
        assert (run.seat(5).state, run.seat(5).attempt) == (State.SUCCEEDED, 1)
        kinds = [e.kind for e in read_events(progress)]
        assert kinds.count("restart") == 1 and kinds.count("resumed") == 1
        for name in ("ema.safetensors", "artifact.ptz"):
            assert run.attempt(5).path(name).read_bytes() == plain.attempt(5).path(name).read_bytes(), name
