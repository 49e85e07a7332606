"""A small attempt folder with a real artifact: a random model, quantized and written by the product's own rooms."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from torch import Tensor

from recur.artifact.reference import save_artifact, write_container
from recur.config import Recipe
from recur.data.corpus import prepare
from recur.data.dataset import Dataset
from recur.model.build import build_model
from recur.quantize.plan import assemble, plan_model, run_job
from recur.recipe import load_recipe
from recur.seedspec import SPEC_FILE, SeedSpec, save_spec

OVERRIDES = (
    "model.vocab_size=300",
    "model.layers=4",
    "model.width=32",
    "model.embedding_width=32",
    "model.heads=2",
    "model.kv_heads=1",
    "model.train_seq_len=32",
    "model.rope_dims=4",
    "model.xsa_last_layers=4",
    "model.value_embedding_width=8",
    "model.value_embedding_layers=[3]",
    "model.recurrent_layers=[1]",
    "model.parallel_from_layer=3",
    "train.batch_tokens=128",
    "evaluate.seq_len=32",
    "evaluate.stride=8",
    "evaluate.val_batch_tokens=256",
    "evaluate.ttt.chunk_tokens=256",
    "evaluate.ttt.epochs=1",
    "data.source=docs",
    "data.val_docs=4",
    "data.tokenizer_docs=40",
    "data.shard_tokens=4000",
)


def tiny_recipe(*more: str) -> Recipe:
    """The smoke profile at dimensions that score in milliseconds."""
    return load_recipe("smoke", [*OVERRIDES, *more])


def tiny_dataset(folder: Path, recipe: Recipe) -> Dataset:
    """Forty short documents and a tokenizer trained on them."""
    words = [(string.ascii_lowercase * 2)[k : k + 2 + k % 6] for k in range(17)]
    docs = folder / "docs.jsonl"
    rows = [" ".join(words[(i * 7 + k * k) % len(words)] + str(k % 10) for k in range(60)) for i in range(40)]
    docs.write_text("".join(json.dumps({"text": f"{row} {i}."}) + "\n" for i, row in enumerate(rows)))
    return prepare(recipe.data, recipe.model.vocab_size, out_root=folder / "data", docs=[str(docs)], train_seq_len=32)


def random_state(recipe: Recipe, seed: int = 0) -> dict[str, Tensor]:
    """Weights of a model in which nothing is zero, float32."""
    model = build_model(recipe.model, seed=seed, precision="fp32", device="cpu")
    generator = torch.Generator().manual_seed(seed)
    return {name: t + 0.05 * torch.randn(t.shape, generator=generator) for name, t in model.state_dict().items()}


def write_attempt(folder: Path, recipe: Recipe, dataset_root: Path, *, recurrence: bool = True) -> Path:
    """Artifact, spec.json and train.json as an attempt has them; returns the artifact's path."""
    folder.mkdir(parents=True)
    state = random_state(recipe)
    jobs = plan_model(state, recipe.quantize)
    model = assemble([run_job(job, state[job.parameter], None, recipe.quantize) for job in jobs])
    path = folder / "artifact.ptz"
    save_artifact(path, write_container(model, recipe.artifact))
    spec = SeedSpec(sweep="t", seed=1, attempt=1, recipe=recipe, dataset_root=dataset_root, out=folder)
    save_spec(folder / SPEC_FILE, spec)
    (folder / "train.json").write_text(json.dumps({"summary": {"recurrence_active": recurrence}}))
    return path
