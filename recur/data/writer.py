"""Token streams cut into numbered shards of a fixed size, and text encoded in batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from recur.data.dataset import ShardFile, describe_shard
from recur.data.documents import Document
from recur.data.shards import TokensU16, write_shard
from recur.data.tokenizer import Processor

BATCH_DOCS = 512
ENCODE_THREADS = min(8, os.cpu_count() or 1)  # the ids do not depend on it


class ShardWriter:
    """Collects tokens and writes `<split>_%06d.bin` of exactly `shard_tokens` tokens each, the last one shorter.

    Args:
        folder: where the shards go.
        split: train or val.
        shard_tokens: size of a full shard, in tokens.
    """

    def __init__(self, folder: Path, split: str, shard_tokens: int) -> None:
        self._folder, self._split, self._size = folder, split, shard_tokens
        self._pending: list[TokensU16] = []
        self._pending_tokens = 0
        self._done: list[ShardFile] = []

    def add(self, ids: TokensU16) -> None:
        """Append [n] token ids."""
        self._pending.append(ids)
        self._pending_tokens += ids.size
        if self._pending_tokens >= self._size:
            self._flush(whole_only=True)

    def close(self) -> tuple[ShardFile, ...]:
        """Write what is left and describe all shards."""
        self._flush(whole_only=False)
        return tuple(self._done)

    def _flush(self, *, whole_only: bool) -> None:
        stream = np.concatenate(self._pending) if self._pending else np.zeros(0, np.uint16)
        end = stream.size // self._size * self._size if whole_only else stream.size
        for start in range(0, end, self._size):
            path = self._folder / f"{self._split}_{len(self._done):06d}.bin"
            write_shard(path, stream[start : min(start + self._size, end)])
            self._done.append(describe_shard(path))
        self._pending, self._pending_tokens = [stream[end:]], stream.size - end


def encode_batches(documents: Iterable[Document], processor: Processor) -> Iterator[list[tuple[Document, list[int]]]]:
    """Documents with their token ids (no BOS), in order, in batches; those that encode to nothing are left out."""
    source = iter(documents)
    while batch := list(islice(source, BATCH_DOCS)):
        encoded = processor.encode([d.text for d in batch], num_threads=ENCODE_THREADS)
        yield [(d, ids) for d, ids in zip(batch, encoded, strict=True) if ids]
