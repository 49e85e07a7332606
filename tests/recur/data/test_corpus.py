"""Own documents to a dataset: denominators, disjoint splits, the cache, and every refusal."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recur.config import DataConfig
from recur.data.corpus import prepare
from recur.data.dataset import Dataset, validation_tokens
from recur.data.loader import WindowLoader
from recur.data.shards import open_tokens
from recur.data.tokenizer import BOS_ID, load_processor
from recur.errors import DataError, StorageError
from tests.recur.data.samples import (
    VOCAB,
    docs_config,
    sentences,
    write_jsonl,
    write_odd_tokenizer,
    write_tokenizer,
)

ROOT = Path(__file__).parents[3]
ODD_DOCUMENTS = [
    "  \ufb01ne \u2163 spaces  ",
    " starts with a space",
    "NUL\0inside",
    "line\n\n\ttab",
    "\u65e5\u672c\u8a9e \U0001f467",
]


def make(folder: Path, texts: list[str], *, cfg: DataConfig | None = None, tokenizer: Path | None = None) -> Dataset:
    folder.mkdir(exist_ok=True)
    docs = write_jsonl(folder / "docs.jsonl", texts)
    return prepare(cfg or docs_config(), VOCAB, out_root=folder / "out", docs=[str(docs)], tokenizer=tokenizer, train_seq_len=32)


def stream(paths: list[Path]) -> list[int]:
    ids: list[int] = np.concatenate([open_tokens(p) for p in paths]).tolist()
    return ids


def split_at_bos(ids: list[int]) -> list[tuple[int, ...]]:
    parts: list[list[int]] = []
    for i in ids:
        if i == BOS_ID:
            parts.append([])
        else:
            parts[-1].append(i)
    return [tuple(p) for p in parts]


def test_the_denominator_is_the_utf8_of_the_decoded_text(tmp_path: Path) -> None:
    texts = [*ODD_DOCUMENTS, *sentences(60)]
    dataset = make(tmp_path, texts, cfg=docs_config(val_docs=8))
    processor = load_processor(dataset.tokenizer_path, VOCAB)
    ids = split_at_bos(stream(dataset.val_paths()))
    decoded = processor.decode([list(i) for i in ids], num_threads=1)
    assert dataset.val_text_bytes == sum(len(t.encode()) for t in decoded)
    assert dataset.val_raw_bytes == sum(len(t.encode()) for t in texts[:8])
    assert dataset.val_text_bytes != dataset.val_raw_bytes


def test_the_byte_table_counts_the_whole_validation_stream(tmp_path: Path) -> None:
    dataset = make(tmp_path, [*ODD_DOCUMENTS, *sentences(60)], cfg=docs_config(val_docs=8))
    ids = np.array(stream(dataset.val_paths()))
    assert int(dataset.byte_table().count(ids[:-1], ids[1:]).sum()) == dataset.val_text_bytes


def test_scored_bytes_equal_decoded_text_after_the_cut(tmp_path: Path) -> None:
    dataset = make(tmp_path, sentences(60))
    ids = validation_tokens(dataset, 32)
    decoded = load_processor(dataset.tokenizer_path, VOCAB).decode([ids.tolist()], num_threads=1)[0]
    assert int(dataset.byte_table().count(ids[:-1], ids[1:]).sum()) == len(decoded.encode())


def test_first_documents_are_held_out_and_the_rest_is_training(tmp_path: Path) -> None:
    texts = sentences(40)
    dataset = make(tmp_path, texts)
    processor = load_processor(dataset.tokenizer_path, VOCAB)
    expected = [tuple(e) for e in processor.encode(texts, num_threads=1)]
    assert split_at_bos(stream(dataset.val_paths())) == expected[:4]
    assert split_at_bos(stream(dataset.train_paths())) == expected[4:]
    assert (dataset.val_docs, dataset.train_docs) == (4, 36)


def test_shards_are_cut_at_exactly_shard_tokens(tmp_path: Path) -> None:
    dataset = make(tmp_path, sentences(60), cfg=docs_config(shard_tokens=500))
    assert len(dataset.train) > 3
    assert all(s.tokens == 500 for s in dataset.train[:-1])
    assert 0 < dataset.train[-1].tokens <= 500
    assert [s.file for s in dataset.train] == [f"train_{k:06d}.bin" for k in range(len(dataset.train))]


def test_training_never_holds_a_validation_document(tmp_path: Path) -> None:
    texts = sentences(40)
    twice = [*texts, texts[0], "  " + texts[1].replace(" ", "  "), texts[20]]
    dataset = make(tmp_path, twice)
    held_out = set(split_at_bos(stream(dataset.val_paths())))
    assert not held_out & set(split_at_bos(stream(dataset.train_paths())))
    assert dataset.train_docs == 37  # the training document that comes twice stays


def test_empty_documents_are_skipped(tmp_path: Path) -> None:
    dataset = make(tmp_path, ["", "   ", *sentences(40)])
    assert (dataset.val_docs, dataset.train_docs) == (4, 36)


def test_the_same_inputs_are_found_again(tmp_path: Path) -> None:
    first = make(tmp_path, sentences(40))
    stamp = (first.root / "dataset.json").stat().st_mtime_ns
    second = make(tmp_path, sentences(40))
    assert second == first
    assert (second.root / "dataset.json").stat().st_mtime_ns == stamp
    assert make(tmp_path, sentences(41)).root != first.root
    assert make(tmp_path, sentences(40), cfg=docs_config(val_docs=5)).root != first.root


def test_two_folders_get_the_same_dataset_and_the_same_data_order(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", sentences(40)), make(tmp_path / "b", sentences(40))
    assert a.sha256 == b.sha256
    orders = [
        WindowLoader(
            d.train_paths(), d.train_hash_strings(), seq_len=32, batch_tokens=128, rank=0, world=1, accum=1
        ).next_windows()
        for d in (a, b)
    ]
    assert orders[0].tolist() == orders[1].tolist()


def test_a_given_tokenizer_is_reused_byte_for_byte(tmp_path: Path) -> None:
    model = write_tokenizer(tmp_path / "t.model", sentences(100, seed=9))
    dataset = make(tmp_path, sentences(40), tokenizer=model)
    assert dataset.tokenizer_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


def test_a_tokenizer_with_unknown_pieces_in_the_text_is_refused(tmp_path: Path) -> None:
    lossy = write_odd_tokenizer(tmp_path / "t.model", sentences(400), 100, byte_fallback=False, character_coverage=1.0)
    docs = write_jsonl(tmp_path / "docs.jsonl", [*sentences(3), "caf\u00e9", *sentences(40, seed=1)])
    with pytest.raises(DataError, match=r"docs\.jsonl:4 has 1 unknown pieces"):
        prepare(docs_config(), 100, out_root=tmp_path / "out", docs=[str(docs)], tokenizer=lossy, train_seq_len=32)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tokenizer_without_byte_fallback_serves_where_nothing_is_unknown(tmp_path: Path) -> None:
    model = write_odd_tokenizer(tmp_path / "t.model", sentences(400), 100, byte_fallback=False, character_coverage=1.0)
    docs = write_jsonl(tmp_path / "docs.jsonl", sentences(40))
    cfg = docs_config()
    dataset = prepare(cfg, 100, out_root=tmp_path / "out", docs=[str(docs)], tokenizer=model, train_seq_len=32)
    assert dataset.val_text_bytes == dataset.val_raw_bytes


def test_a_tokenizer_whose_bytes_differ_from_its_text_is_refused(tmp_path: Path) -> None:
    kept = write_odd_tokenizer(tmp_path / "t.model", sentences(200), VOCAB, remove_extra_whitespaces=False)
    with pytest.raises(DataError, match=r"docs\.jsonl:2 counts \d+ bytes by its tokens but decodes to \d+"):
        make(tmp_path, ["fine", " leading space", *sentences(40)], tokenizer=kept)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_too_few_documents_are_one_clear_error(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=rf"documents={count} must be more than data\.val_docs=4") as caught:
        make(tmp_path, sentences(count))
    assert ("--set data.val_docs=1" in str(caught.value)) == (count > 1)
    assert list((tmp_path / "out").iterdir()) == []


def test_only_copies_of_validation_documents_are_too_few(tmp_path: Path) -> None:
    model = write_tokenizer(tmp_path / "t.model", sentences(100))
    with pytest.raises(DataError, match="documents=8 must be more than"):
        make(tmp_path, sentences(4) * 2, tokenizer=model)


def test_text_shorter_than_one_window_is_refused(tmp_path: Path) -> None:
    docs = write_jsonl(tmp_path / "docs.jsonl", sentences(40))
    with pytest.raises(DataError, match=r"model\.train_seq_len\+1=100001"):
        prepare(docs_config(), VOCAB, out_root=tmp_path, docs=[str(docs)], train_seq_len=100_000)
    with pytest.raises(DataError, match=r"validation text of .* is shorter than one window of 601"):
        cfg = docs_config(val_docs=1, shard_tokens=5000)
        prepare(cfg, VOCAB, out_root=tmp_path, docs=[str(docs)], train_seq_len=600)


def test_sources_and_documents_must_agree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs documents"):
        prepare(docs_config(), VOCAB, out_root=tmp_path, train_seq_len=32)
    with pytest.raises(DataError, match="does not read --docs"):
        prepare(DataConfig(source="embedded"), VOCAB, out_root=tmp_path, docs=["x.jsonl"], train_seq_len=32)


def test_unfetched_shards_name_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has not been fetched; run: python jobs/data\.py fetch"):
        prepare(DataConfig(source="shards"), 4096, out_root=tmp_path, train_seq_len=32)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        make(tmp_path, sentences(40))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the write fails in the middle of a shard, in another process."""
    docs = write_jsonl(tmp_path / "docs.jsonl", sentences(3000))
    code = f"""
import resource, signal
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from recur.data.corpus import prepare
from recur.errors import StorageError
from tests.recur.data.samples import docs_config
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    prepare(docs_config(shard_tokens=10**6), {VOCAB}, out_root=Path({str(tmp_path / "out")!r}), docs=[{str(docs)!r}],
            train_seq_len=32)
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    assert list((tmp_path / "out").iterdir()) == []
