"""Published shards of a Hugging Face dataset repository, by its manifest, as a dataset of ours.

Layout (DATA G): `<remote_root>/manifest.json`,
`<remote_root>/datasets/fineweb10B_<variant>/fineweb_{train,val}_%06d.bin`,
`<remote_root>/tokenizers/fineweb_<V>_bpe.model`. The manifest is asked for again each time (a stale copy is a known
trap), and of it the dataset's name, its file counts and its tokenizer's path are used. Files land in a store below
`out_root`; the dataset folder holds hard links to them, so another number of shards costs only the new ones.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recur.config import DataConfig
from recur.data.dataset import Dataset, check_ids, describe_shard, load_dataset, save_dataset
from recur.data.hub import HubRepo, Receipt, download
from recur.data.shards import open_tokens
from recur.data.staging import MANIFEST, sha256_file, staged_folder, storage_error
from recur.data.tokenizer import Processor, byte_table, load_processor
from recur.data.validation import EncodedDocument, scored_bytes
from recur.data.writer import ENCODE_THREADS
from recur.errors import DataError, InputError

STORE = ".hub"
TOKENIZER_FILE = "tokenizer.model"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of one variant, relative to the repository's data root."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    tokenizer: str


def fetched_root(cfg: DataConfig, out_root: Path) -> Path:
    """Where the fetched dataset of this recipe lies below `out_root`."""
    return out_root / f"{cfg.repo_id.replace('/', '--')}--{cfg.variant}-{cfg.train_shards}"


def fetched(cfg: DataConfig, vocab_size: int, *, out_root: Path) -> Dataset:
    """The dataset that `fetch` left below `out_root`.

    Raises:
        DataError: it was not fetched (the remedy is the command), is damaged, or has another vocabulary.
    """
    root = fetched_root(cfg, out_root)
    if not (root / MANIFEST).exists():
        settings = {
            "data.repo_id": cfg.repo_id,
            "data.variant": cfg.variant,
            "data.train_shards": cfg.train_shards,
            "model.vocab_size": vocab_size,
        }
        options = " ".join(f"--set {key}={value}" for key, value in settings.items())
        command = f"python jobs/data.py fetch {options} --out {out_root}"
        raise DataError(f"dataset {root}", "has not been fetched", f"run: {command}")
    dataset = load_dataset(root)
    if dataset.vocab_size != vocab_size:
        raise DataError(f"dataset {root} vocabulary={dataset.vocab_size}", f"must be {vocab_size}", "set model.vocab_size")
    return dataset


def fetch(
    cfg: DataConfig,
    vocab_size: int,
    *,
    out_root: Path,
    endpoint: str | None = None,
    revision: str = "main",
    remote_root: str = "datasets",
) -> Dataset:
    """Download what a recipe asks for, check every file, and make a dataset of it; run again to go on after a stop.

    Args:
        cfg: `repo_id`, `variant` and `train_shards` are read.
        vocab_size: V of the model; the published tokenizer must have exactly as many pieces.
        out_root: folder of datasets.
        endpoint: base URL of the Hub, None for huggingface-hub's default.
        revision: branch, tag or commit of the repository.
        remote_root: folder of the repository that holds `manifest.json`.

    Returns:
        The checked dataset.

    Raises:
        DataError: unknown repository or variant, a file of wrong size, header or hash, a tokenizer that does not fit.
        StorageError: `out_root` cannot be written.
    """
    root = fetched_root(cfg, out_root)
    if (root / MANIFEST).exists():
        return fetched(cfg, vocab_size, out_root=out_root)
    repo = HubRepo(repo_id=cfg.repo_id, endpoint=endpoint, revision=revision, remote_root=remote_root)
    store = out_root / STORE / f"{cfg.repo_id.replace('/', '--')}--{cfg.variant}"
    listing = _listing(repo, cfg, vocab_size, store)
    names = (listing.tokenizer, *listing.val, *listing.train)
    receipts = {name: _checked_download(repo, name, store, vocab_size) for name in names}
    with staged_folder(root) as staging:
        for name in names:
            _link(store / name, staging / (TOKENIZER_FILE if name == listing.tokenizer else Path(name).name))
        _check_unchanged(store, receipts)
        save_dataset(_describe(cfg, vocab_size, listing, receipts, staging, root.name))
    return load_dataset(root)


def _listing(repo: HubRepo, cfg: DataConfig, vocab_size: int, store: Path) -> Listing:
    """Which files to fetch, by the repository's manifest."""
    path = store / "manifest.json"
    download(repo, "manifest.json", path)
    try:
        return _read_manifest(json.loads(path.read_text()), cfg, vocab_size)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"manifest of {cfg.repo_id}", f"is not understood ({error!r})", "check data.repo_id") from error


def _read_manifest(manifest: dict[str, Any], cfg: DataConfig, vocab_size: int) -> Listing:
    name = f"fineweb10B_{cfg.variant}"
    entries = {str(e["name"]): e for e in manifest["datasets"]}
    if name not in entries:
        rule = f"is not in the manifest of {cfg.repo_id}"
        raise DataError(f"data.variant={cfg.variant}", rule, f"it has {', '.join(sorted(entries)) or 'no datasets'}")
    stats = entries[name].get("stats") or {}
    available = int(stats.get("files_train", cfg.train_shards))
    if cfg.train_shards > available:
        rule = f"is more than the {available} published"
        raise DataError(f"data.train_shards={cfg.train_shards}", rule, f"use {available}")
    folder = f"datasets/{name}"
    return Listing(
        train=tuple(f"{folder}/fineweb_train_{i:06d}.bin" for i in range(cfg.train_shards)),
        val=tuple(f"{folder}/fineweb_val_{i:06d}.bin" for i in range(int(stats.get("files_val", 1)))),
        tokenizer=_tokenizer_file(manifest, entries[name], vocab_size),
    )


def _tokenizer_file(manifest: dict[str, Any], entry: dict[str, Any], vocab_size: int) -> str:
    """The model path that the manifest names for this dataset, else the conventional one."""
    for tokenizer in manifest.get("tokenizers") or []:
        path = tokenizer.get("model_path")
        if tokenizer.get("name") == entry.get("tokenizer_name") and isinstance(path, str):
            if not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)*", path):
                raise DataError(f"manifest model_path={path!r}", "must be a plain relative path", "report it to the publisher")
            return path
    return f"tokenizers/fineweb_{vocab_size}_bpe.model"


def _checked_download(repo: HubRepo, name: str, store: Path, vocab_size: int) -> Receipt:
    """One file in the store; a shard with a wrong header or size, or an unfit tokenizer, is removed again."""
    target = store / name
    receipt = download(repo, name, target)
    try:
        if name.endswith(".bin"):
            check_ids(target, vocab_size)
        else:
            load_processor(target, vocab_size)
    except InputError:
        target.unlink()
        raise
    return receipt


def _check_unchanged(store: Path, receipts: dict[str, Receipt]) -> None:
    """Hash the store again: a file that changed on this disk since it came (they share inodes with older datasets) is dropped."""
    for name, receipt in receipts.items():
        if sha256_file(store / name) != receipt.sha256:
            (store / name).unlink()
            raise DataError(f"file {store / name}", "has changed since it was fetched", "run the same command again")


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links: a copy is as good
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise storage_error(target.parent, error) from error


def _describe(
    cfg: DataConfig, vocab_size: int, listing: Listing, receipts: dict[str, Receipt], folder: Path, name: str
) -> Dataset:
    """The manifest of the linked files, with the validation bytes counted from the tokens themselves."""
    processor = load_processor(folder / TOKENIZER_FILE, vocab_size)
    documents = _documents([folder / Path(v).name for v in listing.val], processor)
    commit = receipts[listing.train[0]].commit
    return Dataset(
        root=folder,
        name=name,
        source="shards",
        origin=f"{cfg.repo_id}@{commit[:12]} fineweb10B_{cfg.variant}",
        vocab_size=vocab_size,
        hash_root=f"data/datasets/fineweb10B_{cfg.variant}",
        train=tuple(describe_shard(folder / Path(t).name) for t in listing.train),
        val=tuple(describe_shard(folder / Path(v).name) for v in listing.val),
        tokenizer_file=TOKENIZER_FILE,
        tokenizer_sha256=sha256_file(folder / TOKENIZER_FILE),
        train_docs=None,
        val_docs=len(documents),
        val_text_bytes=scored_bytes(documents, processor, byte_table(processor), ENCODE_THREADS),
        val_raw_bytes=None,
    )


def _documents(paths: list[Path], processor: Processor) -> list[EncodedDocument]:
    """The validation stream cut at each BOS."""
    stream = np.concatenate([open_tokens(p) for p in paths])
    starts = np.flatnonzero(stream == processor.bos_id())
    if not starts.size or starts[0] != 0:
        raise DataError(f"shard {paths[0]}", "must begin with a BOS token", "check data.variant against model.vocab_size")
    return [
        EncodedDocument(f"{k} of the validation shards", part[1:].tolist()) for k, part in enumerate(np.split(stream, starts[1:]))
    ]
