"""Our own pipeline at tiny size: its recipe, its spec, and a training that never happened for tests of the fit alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from recur.config import Recipe
from recur.data.dataset import Dataset
from recur.model.build import build_model
from recur.pipeline import LocalBackend
from recur.pipeline.backend import Progress
from recur.quantize.classes import hessian_names, lookup_names
from recur.quantize.fisher import MomentSum
from recur.quantize.hessian import HessianSum, shared_input
from recur.record.attempt import AttemptDir
from recur.seedspec import SeedSpec
from recur.train.checkpoint import Trained, TrainSummary
from tests.recipes import tiny_recipe

T = TypeVar("T")
R = TypeVar("R")

SOLVE = (
    "artifact.fit=solve",
    "artifact.cap_bytes=20000",
    "quantize.hessian_ranks=all",
    "quantize.fisher_batches=2",
    "train.steps=3",
    "train.warmup_steps=0",
    "train.val_every=0",
    "train.recurrence_start_step=1",
    "train.peak_tflops=1.0",
    "evaluate.val_batch_tokens=8192",
    'evaluate.modes=["plain"]',
    "cluster.eval_shards=1",
)
"""On top of `tests.recipes.TINY`: a minute of one core at most."""


def solved_spec(out: Path, dataset: Dataset, *overrides: str, attempt: int = 1) -> SeedSpec:
    """The first attempt of seed 42 of a sweep ``swp``; later overrides win."""
    recipe = tiny_recipe(*SOLVE, *overrides)
    return SeedSpec(sweep="swp", seed=42, attempt=attempt, recipe=recipe, dataset_root=dataset.root, out=out)


class NoTraining(LocalBackend):
    """Counts what is asked of it, may run items backwards as a cluster may, and must not train."""

    def __init__(self, *, backwards: bool = False) -> None:
        self.names, self.backwards = list[str](), backwards

    def train(self, spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
        raise AssertionError(f"seed {spec.seed} was to be trained again")

    def map(
        self, fn: Callable[[T], R], items: Sequence[T], *, names: Sequence[str], progress: Progress, on_device: bool = False
    ) -> list[R]:
        self.names += names
        if not self.backwards:
            return super().map(fn, items, names=names, progress=progress, on_device=on_device)
        return super().map(fn, items[::-1], names=names, progress=progress)[::-1]


def synthetic_trained(recipe: Recipe, seed: int = 0) -> Trained:
    """Gaussian weights whose rows and columns differ in spread, correlated inputs, and rows that matter unequally."""
    generator = torch.Generator().manual_seed(seed)

    def spreads(count: int, octaves: float) -> Tensor:
        return (octaves * torch.randn(count, generator=generator)).exp2()

    with torch.random.fork_rng(devices=[]):
        template = build_model(recipe.model, seed=0, precision="fp32", device="cpu").state_dict()
    ema = {name: tensor.float() for name, tensor in template.items()}
    for name, tensor in ema.items():
        if tensor.ndim == 2:
            noise = torch.randn(tensor.shape, generator=generator)
            ema[name] = 0.04 * noise * spreads(tensor.shape[0], 0.3)[:, None] * spreads(tensor.shape[1], 0.4)
    shapes = {name: tuple(tensor.shape) for name, tensor in ema.items()}
    names, tables = hessian_names(shapes, recipe.quantize), lookup_names(shapes, recipe.quantize)
    batches, tokens = recipe.quantize.calibration_batches, recipe.train.batch_tokens // recipe.train.micro_batches
    sums: dict[str, Tensor] = {}
    for name in names:
        columns = shapes[name][1]
        mixed_NC = torch.randn(2 * columns, columns, generator=generator) * spreads(columns, 1.0)
        mixed_NC += torch.randn(2 * columns, 1, generator=generator)
        sums.setdefault(shared_input(name), mixed_NC.t() @ mixed_NC / len(mixed_NC) * batches * tokens)
    moments = MomentSum(
        outputs={name: spreads(shapes[name][0], 2.0) for name in names},
        visits=dict.fromkeys(names, 1),
        lookups={name: spreads(shapes[name][0], 2.0) for name in tables},
        tokens=1,
    )
    hessians = HessianSum(sums={name: sums[shared_input(name)] for name in names}, batches=batches)
    return Trained(ema=ema, hessians=hessians, summary=_summary(), moments=moments)


def _summary() -> TrainSummary:
    return TrainSummary(
        steps=1,
        stop_reason="steps",
        train_s=1.0,
        data_read_s=1.0,
        tokens_per_s=1.0,
        mfu=0.1,
        mfu_peak_tflops=1.0,
        mfu_peak_source="recipe",
        first_val_loss=None,
        first_val_bpb=None,
        last_step_loss=1.0,
        last_step_bpb=1.0,
        recurrence_active=True,
        attention_backend="math",
        warmup_state_sha256="",
        peak_memory_bytes=0,
        seconds={},
    )
