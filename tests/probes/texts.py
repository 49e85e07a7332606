"""The lines about bytes: byte tables with published bugs, tokenizers that lose text, and honest ones."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import sentencepiece as spm

from recur.data.documents import read_documents
from recur.data.oracle import ByteOracle, byte_oracle
from recur.data.shards import TokensI64
from recur.data.tokenizer import ByteTable, Processor, byte_table, train_tokenizer
from tests.probes.line import Line
from tests.recur.data.samples import WORDS, sentences, write_odd_tokenizer

VOCAB, LOSSY_VOCAB = 400, 120
RARE = "éßλжשあ語\U0001f600\U0001f469\u2047—ﬁ"


@cache
def processors() -> dict[str, Processor]:
    """By name: honest; lossy, without byte fallback; spaceless, without a bare space piece (#897)."""
    texts = sentences(200)
    words = ["".join(t.split()) for t in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.model"
        models = {
            "honest": train_tokenizer(texts, VOCAB),
            "lossy": write_odd_tokenizer(path, texts, LOSSY_VOCAB, byte_fallback=False).read_bytes(),
            "spaceless": write_odd_tokenizer(path, words, VOCAB).read_bytes(),
        }
    return {name: spm.SentencePieceProcessor(model_proto=model) for name, model in models.items()}


def documents(seed: int, *, rare: bool) -> list[str]:
    """A few short documents; with ``rare`` at least one character that the training text does not have."""
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(3, 40))) for _ in range(rng.randint(2, 6))]
    for _ in range(rng.randint(1, 20) if rare else 0):
        k = rng.randrange(len(texts))
        at = rng.randint(0, len(texts[k]))
        texts[k] = texts[k][:at] + rng.choice(RARE) + texts[k][at:]
    return texts


def encoded(processor: Processor, texts: Sequence[str]) -> TokensI64:
    """The documents as one stream, BOS in front of each."""
    return np.concatenate([[processor.bos_id(), *ids] for ids in processor.encode(list(texts), num_threads=1)])


def space_counted_twice(processor: Processor, stream: TokensI64, seed: int) -> ByteTable:
    """#1719 for a random share of the pieces with a leading space, at least one of them in the stream behind a token."""
    table, rng = byte_table(processor), np.random.default_rng(seed)
    counted = np.unique(stream[1:][table.space[stream[1:]] & ~table.boundary[stream[:-1]]])
    share = np.exp(rng.uniform(np.log(0.02), 0.0))
    hit = table.space & (rng.random(len(table.space)) < share)
    hit[rng.choice(counted)] = True
    return replace(table, base=(table.base + hit).astype(np.int16))


def double_space(with_source: bool, seed: int) -> bool:
    processor = processors()["honest"]
    texts = documents(seed, rare=True)
    stream = encoded(processor, texts)
    table = space_counted_twice(processor, stream, seed)
    return not byte_oracle(stream, processor, table, texts if with_source else None).agrees


def with_own_table(name: str, with_source: bool, cut: bool, seed: int) -> bool:
    """A tokenizer with the table that belongs to it; ``cut`` ends the stream anywhere."""
    processor, texts = processors()[name], documents(seed, rare=True)
    stream = encoded(processor, texts)
    if cut:
        stream = stream[: random.Random(seed).randint(2, len(stream))]
    return not byte_oracle(stream, processor, byte_table(processor), texts if with_source else None).agrees


def sample_oracle(model: Path, texts: Sequence[str], seed: int) -> ByteOracle:
    """The oracle of 20 of the texts under a model file."""
    processor = _processor(model)
    chosen = random.Random(seed).sample(list(texts), 20)
    return byte_oracle(encoded(processor, chosen), processor, byte_table(processor), chosen)


@cache
def _processor(model: Path) -> Processor:
    processor: Processor = spm.SentencePieceProcessor(model_file=str(model))
    return processor


@cache
def _texts(docs: Path) -> tuple[str, ...]:
    return tuple(d.text for d in read_documents([docs]))


def from_files(model: Path, docs: Path, seed: int) -> bool:
    return not sample_oracle(model, _texts(docs), seed).agrees


def file_line(model: Path, docs: Path, *, planted: bool) -> Line:
    """A tokenizer file on 20 documents of a file, drawn anew for each seed."""
    return Line(name=f"{model.name} on {docs.name}", planted=planted, alarm=partial(from_files, model, docs))


LINES = (
    Line(name="leading space counted twice (#1719)", planted=True, alarm=partial(double_space, False)),
    Line(name="leading space counted twice, source known", planted=True, alarm=partial(double_space, True)),
    Line(name="no bare space piece (#897)", planted=True, alarm=partial(with_own_table, "spaceless", False, False)),
    Line(name="no bare space piece, source known", planted=True, alarm=partial(with_own_table, "spaceless", True, False)),
    Line(name="no byte fallback", planted=True, alarm=partial(with_own_table, "lossy", False, False)),
    Line(name="no byte fallback, source known", planted=True, alarm=partial(with_own_table, "lossy", True, False)),
    Line(name="byte table of an honest tokenizer", planted=False, alarm=partial(with_own_table, "honest", True, False)),
    Line(name="the same, stream cut anywhere", planted=False, alarm=partial(with_own_table, "honest", True, True)),
    Line(name="the same, source unknown", planted=False, alarm=partial(with_own_table, "honest", False, True)),
)
