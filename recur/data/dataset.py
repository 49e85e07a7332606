"""A prepared dataset: a folder of shards and a tokenizer with its manifest `dataset.json`.

The manifest names every file with its size and sha256 and holds the denominators of BPB: `val_text_bytes` is the
UTF-8 length of decode(encode(text)) over the validation documents (RULES B3), `val_raw_bytes` that of the texts as
they were given. The dataset's own sha256 is that of the canonical manifest, so it does not depend on where the folder
lies.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.data.shards import HEADER_BYTES, REMEDY, TOKEN_BYTES, TokensU16, open_tokens, read_stream
from recur.data.staging import MANIFEST, sha256_file, storage_error, sync
from recur.data.tokenizer import ByteTable, load_byte_table
from recur.errors import DataError

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ShardFile:
    """One shard: its name relative to the dataset's root, token count, size and hash."""

    file: str
    tokens: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a run reads. `root` is where it lies now; everything else is the manifest.

    Attributes:
        name: the folder's name, unique per content.
        source: embedded, docs or shards; `origin` says it in words (files, repository and commit).
        hash_root: folder part of the strings that seed the data order (REFERENCE 3).
        val_raw_bytes: None for published shards, whose original texts are not at hand.
        val_source_bytes: UTF-8 length of the source documents' normal form, to which each was found to decode letter for
            letter when the folder was made; None where the sources were not at hand.
        train_docs: None where it was not counted (published shards).
    """

    root: Path
    name: str
    source: str
    origin: str
    vocab_size: int
    hash_root: str
    train: tuple[ShardFile, ...]
    val: tuple[ShardFile, ...]
    tokenizer_file: str
    tokenizer_sha256: str
    train_docs: int | None
    val_docs: int
    val_text_bytes: int
    val_raw_bytes: int | None
    val_source_bytes: int | None = None

    @property
    def sha256(self) -> str:
        """Hex sha256 of the canonical manifest."""
        return hashlib.sha256(_manifest(self).encode()).hexdigest()

    @property
    def tokenizer_path(self) -> Path:
        """The SentencePiece model."""
        return self.root / self.tokenizer_file

    @property
    def train_tokens(self) -> int:
        """Tokens of all training shards, BOS included."""
        return sum(s.tokens for s in self.train)

    @property
    def val_tokens(self) -> int:
        """Tokens of all validation shards, BOS included."""
        return sum(s.tokens for s in self.val)

    def train_paths(self) -> list[Path]:
        """Training shards in order."""
        return [self.root / s.file for s in self.train]

    def val_paths(self) -> list[Path]:
        """Validation shards in order."""
        return [self.root / s.file for s in self.val]

    def train_hash_strings(self) -> list[str]:
        """The strings that seed the data order, one per training shard."""
        return [f"{self.hash_root}/{Path(s.file).name}" for s in self.train]

    def byte_table(self) -> ByteTable:
        """The byte table of this dataset's tokenizer."""
        return load_byte_table(self.tokenizer_path, self.vocab_size)


def describe_shard(path: Path) -> ShardFile:
    """Check one finished shard and describe it for the manifest.

    Raises:
        DataError: wrong magic, version or size.
    """
    tokens = int(open_tokens(path).size)
    return ShardFile(file=path.name, tokens=tokens, size_bytes=path.stat().st_size, sha256=sha256_file(path))


def save_dataset(dataset: Dataset) -> None:
    """Write `dataset.json` into the dataset's root, last and synced.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = dataset.root / MANIFEST
    temporary = path.with_suffix(".json.tmp")
    try:
        temporary.write_text(_manifest(dataset))
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(dataset.root, error) from error


def load_dataset(root: Path) -> Dataset:
    """Open a prepared dataset; headers, sizes, the vocabulary and the tokenizer's hash are checked.

    Raises:
        DataError: no manifest, a damaged one, or a file that does not agree with it.
    """
    dataset = _parse(root)
    for shard in (*dataset.train, *dataset.val):
        _check_shard(root, shard)
    if not dataset.tokenizer_path.is_file():
        raise DataError(f"tokenizer {dataset.tokenizer_path}", "is missing", REMEDY)
    actual = sha256_file(dataset.tokenizer_path)
    if actual != dataset.tokenizer_sha256:
        rule = f"must be {dataset.tokenizer_sha256[:12]}, as its manifest says"
        raise DataError(f"tokenizer {dataset.tokenizer_path} sha256={actual[:12]}", rule, REMEDY)
    dataset.byte_table()
    return dataset


def verify_dataset(dataset: Dataset) -> None:
    """Read every byte again: sha256 of each shard and token ids below the vocabulary size.

    Raises:
        DataError: a file that differs from its manifest.
    """
    for shard in (*dataset.train, *dataset.val):
        path = dataset.root / shard.file
        if sha256_file(path) != shard.sha256:
            raise DataError(f"shard {path}", "differs from the sha256 in its manifest", REMEDY)
        check_ids(path, dataset.vocab_size)


def check_ids(path: Path, vocab_size: int) -> None:
    """Refuse a shard with a token id outside the vocabulary.

    Raises:
        DataError: the largest id is not below `vocab_size`.
    """
    tokens = open_tokens(path)
    if tokens.size and int(tokens.max()) >= vocab_size:
        rule = f"must be below model.vocab_size={vocab_size}"
        raise DataError(f"shard {path} token id {int(tokens.max())}", rule, "use the tokenizer that the shards were made with")


def validation_tokens(dataset: Dataset, seq_len: int) -> TokensU16:
    """The validation stream as evaluated: [floor((n-1)/S)*S + 1] uint16 (REFERENCE 2.2).

    Args:
        dataset: where to read.
        seq_len: S, tokens of one evaluation window.

    Raises:
        DataError: a damaged shard, an id outside the vocabulary, or less than one window.
    """
    for path in dataset.val_paths():
        check_ids(path, dataset.vocab_size)
    return read_stream(dataset.val_paths(), seq_len)


def check_lengths(dataset: Dataset, train_seq_len: int) -> Dataset:
    """The dataset, if it holds at least one window to train on and one to validate on.

    Raises:
        DataError: too little text for this sequence length.
    """
    longest = max((s.tokens for s in dataset.train), default=0)
    if longest < train_seq_len + 1:
        rule = f"hold no window of model.train_seq_len+1={train_seq_len + 1}"
        raise DataError(f"training shards of at most {longest} tokens", rule, "give more text or lower model.train_seq_len")
    if dataset.val_tokens < train_seq_len + 1:
        rule = f"is shorter than one window of {train_seq_len + 1}"
        raise DataError(
            f"validation text of {dataset.val_tokens} tokens", rule, "raise data.val_docs or lower the sequence length"
        )
    return dataset


def summary(dataset: Dataset) -> str:
    """One screen of plain text: what the dataset holds and how it is identified."""
    train_docs = "uncounted" if dataset.train_docs is None else f"{dataset.train_docs:,}"
    raw = "unknown" if dataset.val_raw_bytes is None else f"{dataset.val_raw_bytes:,}"
    rows = {
        "dataset": dataset.name,
        "folder": str(dataset.root),
        "text": dataset.origin,
        "documents": f"{train_docs} train, {dataset.val_docs:,} validation",
        "tokens": f"{dataset.train_tokens:,} train, {dataset.val_tokens:,} validation",
        "validation bytes": f"{dataset.val_text_bytes:,} decoded (the denominator of BPB), {raw} raw",
        "bytes per token": f"{dataset.val_text_bytes / max(dataset.val_tokens, 1):.4f}",
        "vocabulary": f"{dataset.vocab_size:,} (tokenizer sha256 {dataset.tokenizer_sha256[:12]})",
        "files": f"{len(dataset.train)} train shards, {len(dataset.val)} validation shards",
        "sha256": dataset.sha256,
    }
    width = max(map(len, rows))
    return "\n".join(f"{key:<{width}}  {value}" for key, value in rows.items())


def _manifest(dataset: Dataset) -> str:
    fields = {f.name: getattr(dataset, f.name) for f in dataclasses.fields(dataset) if f.name != "root"}
    for split in ("train", "val"):
        fields[split] = [dataclasses.asdict(s) for s in fields[split]]
    return json.dumps({"format": FORMAT, **fields}, indent=1, sort_keys=True) + "\n"


def _parse(root: Path) -> Dataset:
    path = root / MANIFEST
    try:
        raw: dict[str, Any] = json.loads(path.read_text())
        if raw.pop("format") != FORMAT:
            raise DataError(f"dataset {path}", f"must have format {FORMAT}", REMEDY)
        train, val = (tuple(ShardFile(**s) for s in raw.pop(split)) for split in ("train", "val"))
        dataset = Dataset(root=root, train=train, val=val, **raw)
        for name in (dataset.tokenizer_file, *(s.file for s in (*train, *val))):
            if Path(name).name != name:
                raise DataError(f"dataset {path} file {name!r}", "must be a plain file name", REMEDY)
        return dataset
    except OSError as error:
        raise DataError(f"data={root}", f"is no prepared dataset ({MANIFEST}: {error.strerror})", "run jobs/data.py") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"dataset {path}", f"is damaged ({error!r})", REMEDY) from error


def _check_shard(root: Path, shard: ShardFile) -> None:
    path = root / shard.file
    tokens = int(open_tokens(path).size)
    if tokens != shard.tokens or shard.size_bytes != HEADER_BYTES + TOKEN_BYTES * tokens:
        raise DataError(f"shard {path} tokens={tokens}", f"must be {shard.tokens}, as its manifest says", REMEDY)
