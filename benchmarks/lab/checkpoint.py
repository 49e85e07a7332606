"""One checkpoint of a benchmark model: trained in this process, with calibration, in a folder that later runs reuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from recur.config import Recipe
from recur.data.corpus import prepare
from recur.data.dataset import load_dataset, validation_tokens
from recur.evaluate.divergence import held_out_training_windows, windows_of
from recur.model.build import build_model
from recur.model.gpt import GPT
from recur.pipeline import LocalBackend
from recur.pipeline.refit import refit_recipe
from recur.recipe import load_recipe
from recur.seedspec import SPEC_FILE, SeedSpec, load_spec, save_spec
from recur.train.checkpoint import SUMMARY_FILE, Trained, load_trained

SHAPE = (
    "model.vocab_size=2048",
    "model.heads=4",
    "model.kv_heads=2",
    "model.train_seq_len=256",
    "model.rope_dims=16",
    "optim.ema_decay=0.95",
    "optim.muon_momentum_warmup_steps=60",
    "train.warmup_steps=1",
    "train.batch_tokens=4096",
    "train.micro_batches=1",
    "train.log_every=20",
    "train.val_every=1000000",
    "train.calibration_reserve_s=0.0",
    "quantize.calibration_batches=32",
    "quantize.fisher_batches=12",
    "quantize.passthrough_numel=8192",
    "evaluate.seq_len=256",
    "evaluate.val_batch_tokens=4096",
    "data.val_docs=130",
    "data.tokenizer_docs=2000",
    "cluster.workers=1",
)
"""smoke_recur widened: the same 11 layers, 7.6 % of the weights or so in tables; calibration on 131,072 and 49,152 tokens."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained model, its recipe and the texts it is measured on.

    Attributes:
        held_out: validation windows ``[W, S + 1]``: what is reported.
        tuning: windows of training text that the run has not seen: what rules are chosen by.
    """

    recipe: Recipe
    trained: Trained
    held_out: torch.Tensor
    tuning: torch.Tensor

    def model(self, state: dict[str, torch.Tensor] | None = None) -> GPT:
        """The model with the trained weights, or with ``state``."""
        model = build_model(self.recipe.model, seed=0, precision="fp32")
        model.load_state_dict(self.trained.ema if state is None else state)
        model.set_recurrence(self.trained.summary.recurrence_active)
        return model.eval()


def bench_recipe(*, width: int, steps: int, overrides: Sequence[str] = ()) -> Recipe:
    """The benchmark's recipe: schedules by step, so that anyone gets the same checkpoint; recurrence from half-way."""
    length = [f"train.steps={steps}", f"train.recurrence_start_step={steps // 2}"]
    size = [f"model.width={width}", f"model.embedding_width={width}"]
    return load_recipe("smoke_recur", [*SHAPE, *size, *length, *overrides])


def make_checkpoint(
    root: Path, recipe: Recipe, *, seed: int, docs: Sequence[str] | None, tokens: int, tuning_tokens: int
) -> Checkpoint:
    """Train (or reuse the training in) ``root`` and load it.

    Args:
        root: folder for the dataset and the attempt.
        recipe: from `bench_recipe`, or a record profile.
        seed: of the initial weights.
        docs: document files, or None for the recipe's source.
        tokens: positions of `Checkpoint.held_out`.
        tuning_tokens: positions of `Checkpoint.tuning`.
    """
    data = prepare(
        recipe.data, recipe.model.vocab_size, out_root=root / "datasets", docs=docs, train_seq_len=recipe.model.train_seq_len
    )
    spec = SeedSpec(sweep="bench", seed=seed, attempt=1, recipe=recipe, dataset_root=data.root, out=root)
    attempt = spec.attempt_dir.create()
    if not attempt.path(SUMMARY_FILE).exists():
        save_spec(attempt.path(SPEC_FILE), spec)
        LocalBackend().train(spec, attempt)
    trained, made_with = load_trained(attempt.folder), load_spec(attempt.path(SPEC_FILE)).recipe
    recipe = refit_recipe(made_with, recipe)
    seq_len = made_with.model.train_seq_len
    dataset = load_dataset(data.root)
    return Checkpoint(
        recipe=recipe,
        trained=trained,
        held_out=windows_of(validation_tokens(dataset, seq_len), seq_len, tokens),
        tuning=held_out_training_windows(
            dataset,
            seq_len=seq_len,
            batch_tokens=made_with.train.batch_tokens // made_with.train.micro_batches,
            skip_batches=trained.summary.steps * made_with.train.micro_batches,
            tokens=tuning_tokens,
        ),
    )
