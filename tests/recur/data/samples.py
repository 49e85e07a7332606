"""Small real documents, tokenizers and datasets that several tests share."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from recur.config import DataConfig
from recur.data.tokenizer import TRAINING_OPTIONS, train_tokenizer

WORDS = [
    "river",
    "stone",
    "light",
    "garden",
    "seven",
    "winter",
    "paper",
    "window",
    "signal",
    "ocean",
    "copper",
    "morning",
    "letter",
    "engine",
]
VOCAB = 300


def sentences(count: int, seed: int = 0) -> list[str]:
    """`count` different documents of some dozens of words."""
    rng = random.Random(seed)
    return [f"Document {k}. " + " ".join(rng.choices(WORDS, k=rng.randint(20, 60))) + "." for k in range(count)]


def write_jsonl(path: Path, texts: Sequence[str]) -> Path:
    """One object with `text` a line."""
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return path


def write_tokenizer(path: Path, texts: Sequence[str], vocab_size: int = VOCAB) -> Path:
    """A byte-fallback model trained by the product."""
    path.write_bytes(train_tokenizer(texts, vocab_size))
    return path


def write_odd_tokenizer(path: Path, texts: Sequence[str], vocab_size: int, **options: object) -> Path:
    """A model trained with other options than ours, straight from SentencePiece."""
    import io

    import sentencepiece as spm

    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=vocab_size,
        minloglevel=2,
        **{**TRAINING_OPTIONS, **options},
    )
    path.write_bytes(model.getvalue())
    return path


def docs_config(*, val_docs: int = 4, shard_tokens: int = 700) -> DataConfig:
    """Settings for a handful of documents."""
    return DataConfig(source="docs", val_docs=val_docs, tokenizer_docs=1000, shard_tokens=shard_tokens)
