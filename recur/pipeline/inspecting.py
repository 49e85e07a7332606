"""What verification looks at beside the score: the data files, hashed again, and the bytes of the scored text, decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recur.config import Recipe
from recur.data.dataset import Dataset, load_dataset, validation_tokens
from recur.data.oracle import ByteOracle, dataset_oracle
from recur.data.staging import sha256_file


@dataclass(frozen=True, kw_only=True)
class DataItem:
    """A data set to inspect as it is evaluated with windows of ``seq_len`` tokens."""

    root: Path
    seq_len: int


@dataclass(frozen=True, kw_only=True)
class DataInspection:
    """What was found.

    Attributes:
        files: shards and the tokenizer, hashed again.
        changed: names of those that differ from the manifest.
        targets: positions that a whole evaluation scores once each.
        oracle: bytes of their text, counted by decoding.
        held_when_made: whether the text was found equal to its source, letter for letter, when the data set was made.
    """

    files: int
    changed: tuple[str, ...]
    targets: int
    oracle: ByteOracle
    held_when_made: bool


def inspect_data(item: DataItem) -> DataInspection:
    """Hash every file of the data set, and count the bytes of the validation text a second way.

    Raises:
        DataError: a file is missing or not a shard.
    """
    dataset = load_dataset(item.root)
    manifest = {shard.file: shard.sha256 for shard in (*dataset.train, *dataset.val)}
    manifest[dataset.tokenizer_file] = dataset.tokenizer_sha256
    return DataInspection(
        files=len(manifest),
        changed=_changed(dataset, manifest),
        targets=len(validation_tokens(dataset, item.seq_len)) - 1,
        oracle=dataset_oracle(dataset, item.seq_len),
        held_when_made=dataset.val_source_bytes == dataset.val_text_bytes,
    )


def _changed(dataset: Dataset, manifest: dict[str, str]) -> tuple[str, ...]:
    names: Sequence[str] = list(manifest)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing releases the interpreter's lock
        found = pool.map(lambda name: sha256_file(dataset.root / name), names)
        return tuple(name for name, sha256 in zip(names, found, strict=True) if sha256 != manifest[name])


def recounted_code_bytes(recipe: Recipe) -> int | None:
    """Size of the program that is shipped with the artifact, generated again; None where the recipe counts another one's."""
    if recipe.artifact.code_bytes_source != "bundle":
        return None
    from recur.record.bundle import bundle  # the generator, which most processes that import this room never need

    return len(bundle(recipe).source)
