"""The bars of the GPU, tried out on the CPU at a small size: both sides of each run, and agree."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import GPU_MODULES
from benchmarks.gpu import training
from benchmarks.gpu.place import Place
from benchmarks.harness import Bar, Outcome, judged

SMALL = Place(device=torch.device("cpu"), batch=2, seq_len=32, width=256, compile=False, repeats=1)
ROOT = Path(__file__).resolve().parents[1]


def once(bar: Bar) -> Outcome:
    """Both sides a single time, in place of a measurement."""
    told = bar.agreement(bar.reference(), bar.ours())
    return judged(name=bar.name, ratio=bar.threshold, threshold=bar.threshold, kind="times", agreement=told)


@pytest.mark.parametrize("module", GPU_MODULES)
def test_both_sides_of_every_bar_agree(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = importlib.import_module(f"benchmarks.gpu.{module}")
    monkeypatch.setattr(bars, "measure", once)
    monkeypatch.setattr(training, "CURVE_STEPS", 2)
    found = list(bars.outcomes(SMALL))
    assert found
    assert all(one.verdict == "met" or "steps" in one.name for one in found), found  # two steps show no distance


def test_a_wrong_loss_is_no_agreement() -> None:
    with pytest.raises(AssertionError, match="losses"):
        training._same(training.Pass(loss=5.0, grad_norm=1.0), training.Pass(loss=5.1, grad_norm=1.0))
    with pytest.raises(AssertionError, match="gradients"):
        training._same(training.Pass(loss=5.0, grad_norm=1.0), training.Pass(loss=5.0, grad_norm=1.1))


def test_time_under_several_kernels_counts_once() -> None:
    assert training.covered_frac([]) == 0.0
    assert training.covered_frac([(0.0, 4.0), (1.0, 2.0), (3.0, 5.0), (9.0, 10.0)]) == pytest.approx(0.6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--gpu"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("--gpu needs a CUDA device, and torch sees none; run it where there is one")
