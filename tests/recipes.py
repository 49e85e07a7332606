"""Small recipes for tests: every mechanism of the record profile at dims that train in seconds."""

from __future__ import annotations

from recur.config import Recipe
from recur.recipe import load_recipe

TINY = (
    "model.vocab_size=512",
    "model.layers=5",
    "model.width=32",
    "model.embedding_width=32",
    "model.heads=4",
    "model.kv_heads=2",
    "model.mlp_mult=2.0",
    "model.train_seq_len=32",
    "model.rope_dims=4",
    "model.xsa_last_layers=5",
    "model.value_embedding_width=8",
    "model.value_embedding_layers=[3, 4]",
    "model.recurrent_layers=[1, 2]",
    "model.parallel_from_layer=3",
    "train.steps=6",
    "train.warmup_steps=1",
    "train.batch_tokens=512",
    "train.micro_batches=2",
    "train.recurrence_start_step=3",
    "train.val_every=3",
    "train.log_every=2",
    "quantize.calibration_batches=2",
    "quantize.passthrough_numel=256",
    "evaluate.seq_len=32",
    "evaluate.stride=16",
    "evaluate.val_batch_tokens=512",
    "artifact.cap_bytes=278000",
    "artifact.code_bytes=0",
    'artifact.code_bytes_source="none"',
    "data.val_docs=6",
    "data.tokenizer_docs=200",
    "cluster.workers=1",
)


def tiny_recipe(*overrides: str) -> Recipe:
    """The smoke profile at five layers of width 32, six steps; later overrides win."""
    return load_recipe("smoke", [*TINY, *overrides])
