"""The dataset manifest: it names its files, notices damage, and identifies content, not places."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recur.data.corpus import prepare
from recur.data.dataset import Dataset, load_dataset, save_dataset, summary, validation_tokens, verify_dataset
from recur.data.shards import open_tokens, write_shard
from recur.errors import DataError
from tests.recur.data.samples import VOCAB, docs_config, sentences, write_jsonl


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("dataset")
    docs = write_jsonl(folder / "docs.jsonl", sentences(40))
    return prepare(docs_config(), VOCAB, out_root=folder / "out", docs=[str(docs)], train_seq_len=32)


@pytest.fixture
def dataset(original: Dataset, tmp_path: Path) -> Dataset:
    shutil.copytree(original.root, tmp_path / "copy")
    return load_dataset(tmp_path / "copy")


def test_a_copied_dataset_is_the_same_dataset(original: Dataset, dataset: Dataset) -> None:
    assert dataset.root != original.root
    assert dataset.sha256 == original.sha256
    assert dataset.train_hash_strings() == original.train_hash_strings()
    assert dataset.train_hash_strings()[0] == f"data/datasets/{dataset.name}/train_000000.bin"
    verify_dataset(dataset)


def test_saving_what_was_loaded_changes_nothing(dataset: Dataset) -> None:
    before = (dataset.root / "dataset.json").read_bytes()
    save_dataset(dataset)
    assert (dataset.root / "dataset.json").read_bytes() == before
    assert load_dataset(dataset.root) == dataset


def test_its_sha256_follows_the_content(dataset: Dataset) -> None:
    other = dataclasses.replace(dataset, val_text_bytes=dataset.val_text_bytes + 1)
    assert other.sha256 != dataset.sha256


def test_validation_tokens_are_whole_windows_plus_one(dataset: Dataset) -> None:
    raw = np.concatenate([open_tokens(p) for p in dataset.val_paths()])
    kept = validation_tokens(dataset, 32)
    assert kept.dtype == np.uint16
    assert kept.size == (raw.size - 1) // 32 * 32 + 1
    assert kept.tolist() == raw[: kept.size].tolist()


def test_validation_text_shorter_than_one_window_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="shorter than one window"):
        validation_tokens(dataset, 100_000)


def test_a_token_outside_the_vocabulary_is_refused(dataset: Dataset) -> None:
    path = dataset.val_paths()[0]
    tokens = np.array(open_tokens(path))
    tokens[5] = VOCAB
    write_shard(path, tokens)
    with pytest.raises(DataError, match=f"token id {VOCAB} must be below model.vocab_size={VOCAB}"):
        validation_tokens(dataset, 32)


@pytest.mark.parametrize("which", ["train", "val"])
def test_a_truncated_shard_is_noticed_on_loading(dataset: Dataset, which: str) -> None:
    path = (dataset.train_paths() if which == "train" else dataset.val_paths())[0]
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="tokens it names"):
        load_dataset(dataset.root)


def test_a_shard_of_another_length_is_noticed_on_loading(dataset: Dataset) -> None:
    write_shard(dataset.train_paths()[0], np.arange(10))
    with pytest.raises(DataError, match="as its manifest says"):
        load_dataset(dataset.root)


def test_changed_tokens_are_noticed_on_verification(dataset: Dataset) -> None:
    path = dataset.train_paths()[0]
    tokens = np.array(open_tokens(path))
    tokens[7] ^= 1
    write_shard(path, tokens)
    with pytest.raises(DataError, match="differs from the sha256"):
        verify_dataset(load_dataset(dataset.root))


def test_a_missing_shard_or_tokenizer_is_noticed(dataset: Dataset) -> None:
    dataset.tokenizer_path.write_bytes(dataset.tokenizer_path.read_bytes() + b" ")
    with pytest.raises(DataError, match=r"tokenizer .* sha256="):
        load_dataset(dataset.root)
    dataset.tokenizer_path.unlink()
    with pytest.raises(DataError, match="is missing"):
        load_dataset(dataset.root)
    dataset.train_paths()[0].unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(dataset.root)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "train": [], "val": [], "more": 1}'])
def test_a_damaged_manifest_is_refused(dataset: Dataset, text: str) -> None:
    (dataset.root / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"is damaged|must have format 1"):
        load_dataset(dataset.root)


def test_a_file_outside_the_folder_is_not_followed(dataset: Dataset) -> None:
    manifest = json.loads((dataset.root / "dataset.json").read_text())
    manifest["tokenizer_file"] = "../copy/tokenizer.model"
    (dataset.root / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="must be a plain file name"):
        load_dataset(dataset.root)


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no prepared dataset"):
        load_dataset(tmp_path)


def test_the_summary_says_what_identifies_the_data(dataset: Dataset) -> None:
    text = summary(dataset)
    assert dataset.sha256 in text
    assert f"{dataset.val_text_bytes:,} decoded" in text
