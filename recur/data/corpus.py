"""Text to a dataset: train or reuse a tokenizer, encode, first documents to validation, the rest to training shards.

Source: DATA G. Each document is BOS + ids, no EOS; shards are cut at `data.shard_tokens` regardless of documents.
Decisions of ours: the tokenizer is trained on training documents only; a training document equal to a validation
document (same ids) is dropped; documents that encode to nothing are skipped. A finished folder is found again by the
hash of options and inputs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import sentencepiece as spm

from recur.config import DataConfig
from recur.data import embedded
from recur.data.dataset import FORMAT, Dataset, ShardFile, check_lengths, load_dataset, save_dataset
from recur.data.documents import Document, expand, read_documents
from recur.data.fetch import fetched
from recur.data.staging import MANIFEST, sha256_file, staged_folder
from recur.data.tokenizer import (
    TRAINING_OPTIONS,
    Processor,
    byte_table,
    load_processor,
    train_tokenizer,
)
from recur.data.validation import EncodedDocument, scored_bytes
from recur.data.writer import ENCODE_THREADS, ShardWriter, encode_batches
from recur.errors import DataError

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.model"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Documents that can be read more than once, with the hash of all their bytes."""

    origin: str
    sha256: str
    read: Callable[[], Iterable[Document]]


@dataclass(kw_only=True)
class Tally:
    """What one pass over the documents produced."""

    train: tuple[ShardFile, ...] = ()
    val: tuple[ShardFile, ...] = ()
    train_docs: int = 0
    val_docs: int = 0
    duplicates: int = 0
    val_text_bytes: int = 0
    val_raw_bytes: int = 0
    val_hashes: set[bytes] = field(default_factory=set)


def prepare(
    cfg: DataConfig,
    vocab_size: int,
    *,
    out_root: Path,
    docs: Sequence[str] | None = None,
    tokenizer: Path | None = None,
    train_seq_len: int,
) -> Dataset:
    """Make the dataset that a recipe asks for below `out_root`, or find it there.

    Args:
        cfg: the recipe's data branch.
        vocab_size: V of the model; the tokenizer must have exactly as many pieces.
        out_root: folder of datasets; one folder per content is made in it.
        docs: paths and globs of documents, for source "docs" only.
        tokenizer: a SentencePiece model to reuse instead of training one.
        train_seq_len: S in tokens; both splits must hold at least one window.

    Returns:
        The checked dataset; the same inputs give the same files and the same `sha256`.

    Raises:
        DataError: documents, tokenizer or published shards that cannot be used, or too little text.
        StorageError: `out_root` cannot be written; nothing half-written is left.
    """
    if docs and cfg.source != "docs":
        raise DataError(f"data.source={cfg.source}", "does not read --docs", "add --set data.source=docs or drop --docs")
    if cfg.source == "shards":
        return check_lengths(fetched(cfg, vocab_size, out_root=out_root), train_seq_len)
    text = _own_text(docs or ()) if cfg.source == "docs" else _embedded_text()
    model = tokenizer.resolve() if tokenizer else None
    if model:
        load_processor(model, vocab_size)
    name = f"{cfg.source}_sp{vocab_size}_{_key(cfg, vocab_size, text, model)[:12]}"
    target = out_root / name
    if not (target / MANIFEST).exists():
        with staged_folder(target) as staging:
            save_dataset(_build(cfg, vocab_size, text, model, staging, name))
    return check_lengths(load_dataset(target), train_seq_len)


def _embedded_text() -> Text:
    documents = embedded.embedded_documents()
    digest = hashlib.sha256("\0".join(d.text for d in documents).encode()).hexdigest()
    return Text(origin=embedded.origin(), sha256=digest, read=lambda: documents)


def _own_text(patterns: Sequence[str]) -> Text:
    if not patterns:
        raise DataError("data.source=docs", "needs documents", "give --docs FILE.jsonl, or use data.source=embedded")
    paths = expand(patterns)
    digest = hashlib.sha256("".join(sha256_file(p) for p in paths).encode()).hexdigest()
    return Text(
        origin=f"{', '.join(p.name for p in paths[:3])} ({len(paths)} files)",
        sha256=digest,
        read=lambda: read_documents(paths),
    )


def _key(cfg: DataConfig, vocab_size: int, text: Text, model: Path | None) -> str:
    """Hash of everything the dataset's bytes depend on."""
    trained = {"options": TRAINING_OPTIONS, "docs": cfg.tokenizer_docs, "sentencepiece": spm.__version__}
    parts = {
        "format": FORMAT,
        "text": text.sha256,
        "vocab_size": vocab_size,
        "tokenizer": sha256_file(model) if model else trained,
        "val_docs": cfg.val_docs,
        "shard_tokens": cfg.shard_tokens,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _build(cfg: DataConfig, vocab_size: int, text: Text, model: Path | None, folder: Path, name: str) -> Dataset:
    """Write tokenizer and shards into `folder`; the manifest is the caller's to write."""
    path = folder / TOKENIZER_FILE
    path.write_bytes(model.read_bytes() if model else _train(cfg, vocab_size, text))
    processor = load_processor(path, vocab_size)
    tally = _encode(cfg, text, processor, folder)
    logger.info(
        "corpus_built name=%s train_docs=%d val_docs=%d duplicates=%d",
        name, tally.train_docs, tally.val_docs, tally.duplicates,
    )  # fmt: skip
    return Dataset(
        root=folder,
        name=name,
        source=cfg.source,
        origin=text.origin,
        vocab_size=vocab_size,
        hash_root=f"data/datasets/{name}",
        train=tally.train,
        val=tally.val,
        tokenizer_file=TOKENIZER_FILE,
        tokenizer_sha256=sha256_file(path),
        train_docs=tally.train_docs,
        val_docs=tally.val_docs,
        val_text_bytes=tally.val_text_bytes,
        val_raw_bytes=tally.val_raw_bytes,
        val_source_bytes=tally.val_text_bytes,
    )


def _train(cfg: DataConfig, vocab_size: int, text: Text) -> bytes:
    """A model learned from the first `data.tokenizer_docs` documents after the validation ones."""
    sample = [d.text for d in islice(text.read(), cfg.val_docs, cfg.val_docs + cfg.tokenizer_docs)]
    if not sample:
        raise _too_few(cfg, sum(1 for _ in text.read()))
    return train_tokenizer(sample, vocab_size)


def _encode(cfg: DataConfig, text: Text, processor: Processor, folder: Path) -> Tally:
    """One pass over the documents into validation and training shards."""
    tally, table = Tally(), byte_table(processor)
    writers = {split: ShardWriter(folder, split, cfg.shard_tokens) for split in ("val", "train")}
    for batch in encode_batches(text.read(), processor):
        room = cfg.val_docs - tally.val_docs
        held_out = [EncodedDocument(d.name, ids, d.text) for d, ids in batch[:room]]
        tally.val_text_bytes += scored_bytes(held_out, processor, table, ENCODE_THREADS)
        tally.val_raw_bytes += sum(len(d.text.encode()) for d, _ in batch[:room])
        tally.val_docs += len(held_out)
        for index, (_, ids) in enumerate(batch):
            stream = np.array([processor.bos_id(), *ids], np.uint16)
            digest = hashlib.sha256(stream.tobytes()).digest()
            if index < room:
                tally.val_hashes.add(digest)
                writers["val"].add(stream)
            elif digest in tally.val_hashes:
                tally.duplicates += 1
            else:
                tally.train_docs += 1
                writers["train"].add(stream)
    if not tally.train_docs:
        raise _too_few(cfg, tally.val_docs + tally.duplicates)
    tally.val, tally.train = writers["val"].close(), writers["train"].close()
    return tally


def _too_few(cfg: DataConfig, count: int) -> DataError:
    rule = f"must be more than data.val_docs={cfg.val_docs}, which are held out"
    remedy = f"--set data.val_docs={max(1, count // 10)}" if count > 1 else "give more documents"
    return DataError(f"documents={count}", rule, f"{remedy}, or give more text" if count > 1 else remedy)
