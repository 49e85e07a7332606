"""Published shards from a real local HTTP server: resumed, checked, and never taken as whole when they are not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from recur.config import DataConfig
from recur.data.corpus import prepare
from recur.data.dataset import verify_dataset
from recur.data.fetch import fetch, fetched_root
from recur.data.loader import order_seed
from recur.data.shards import open_tokens, write_shard
from recur.data.tokenizer import BOS_ID, load_processor
from recur.errors import DataError, StorageError
from tests.recur.data.hub_server import COMMIT, Hub, serve
from tests.recur.data.samples import VOCAB, sentences, write_tokenizer

CHUNK = constants.DOWNLOAD_CHUNK_SIZE
REPO = "someone/golf-data"
CFG = DataConfig(source="shards", repo_id=REPO, variant=f"sp{VOCAB}", train_shards=2)
SHARDS = f"datasets/datasets/fineweb10B_sp{VOCAB}"
FIRST, SECOND = f"{SHARDS}/fineweb_train_000000.bin", f"{SHARDS}/fineweb_train_000001.bin"
VALIDATION, TOKENIZER = f"{SHARDS}/fineweb_val_000000.bin", f"datasets/tokenizers/fineweb_{VOCAB}_bpe.model"


def published(folder: Path) -> dict[str, bytes]:
    """A repository in the published layout: three training shards, one validation shard, a tokenizer, a manifest."""
    model = write_tokenizer(folder / "t.model", sentences(200))
    processor = load_processor(model, VOCAB)
    encoded = processor.encode(sentences(60, seed=3), num_threads=1)
    stream = np.array([i for ids in encoded for i in (BOS_ID, *ids)])
    files = {TOKENIZER: model.read_bytes()}
    val_end = sum(len(ids) + 1 for ids in encoded[:10])
    cuts = [0, val_end, val_end + 600, val_end + 1200, stream.size]
    for path, a, b in zip((VALIDATION, FIRST, SECOND, f"{SHARDS}/fineweb_train_000002.bin"), cuts, cuts[1:], strict=False):
        write_shard(folder / "s.bin", stream[a:b])
        files[path] = (folder / "s.bin").read_bytes()
    entry = {"name": f"fineweb10B_sp{VOCAB}", "tokenizer_name": "tok", "stats": {"files_train": 3, "files_val": 1}}
    manifest = {"datasets": [entry], "tokenizers": [{"name": "tok", "model_path": TOKENIZER.removeprefix("datasets/")}]}
    files["datasets/manifest.json"] = json.dumps(manifest).encode()
    return files


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "made").mkdir()
    with serve(Hub(REPO, published(tmp_path / "made"))) as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def whole_files(out: Path) -> list[str]:
    """Shards that stand under their final name anywhere below `out`."""
    return sorted({p.name for p in out.rglob("*.bin")})


def refuse(hub: Hub, out: Path, rule: str, cfg: DataConfig = CFG) -> None:
    with pytest.raises(DataError, match=rule) as caught:
        fetch(cfg, VOCAB, out_root=out, endpoint=hub.url)
    assert "\n" not in str(caught.value)
    assert not fetched_root(cfg, out).exists()


def test_fetched_shards_are_the_published_ones(hub: Hub, out: Path) -> None:
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    assert [p.read_bytes() for p in dataset.train_paths()] == [hub.files[FIRST], hub.files[SECOND]]
    assert dataset.tokenizer_path.read_bytes() == hub.files[TOKENIZER]
    assert (dataset.val_docs, dataset.origin) == (10, f"{REPO}@{COMMIT[:12]} fineweb10B_sp{VOCAB}")
    verify_dataset(dataset)


def test_the_data_order_is_that_of_the_published_paths(hub: Hub, out: Path) -> None:
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    strings = [f"data/datasets/fineweb10B_sp{VOCAB}/fineweb_train_{k:06d}.bin" for k in range(2)]
    assert dataset.train_hash_strings() == strings
    assert order_seed(strings) == order_seed(dataset.train_hash_strings())


def test_validation_bytes_are_counted_from_the_shard(hub: Hub, out: Path) -> None:
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    ids = np.array(open_tokens(dataset.val_paths()[0]), np.int64)
    assert dataset.val_text_bytes == int(dataset.byte_table().count(ids[:-1], ids[1:]).sum())
    assert dataset.val_text_bytes == sum(len(s.encode()) for s in sentences(60, seed=3)[:10])
    assert dataset.val_raw_bytes is None


def test_a_finished_fetch_is_found_without_the_network(hub: Hub, out: Path) -> None:
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    hub.requests.clear()
    assert fetch(CFG, VOCAB, out_root=out, endpoint=hub.url) == dataset
    assert prepare(CFG, VOCAB, out_root=out, train_seq_len=32) == dataset
    assert hub.requests == []


def test_more_shards_cost_only_the_new_ones(hub: Hub, out: Path) -> None:
    fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    hub.requests.clear()
    more = fetch(dataclasses.replace(CFG, train_shards=3), VOCAB, out_root=out, endpoint=hub.url)
    assert len(more.train) == 3
    assert [p for method, p, _ in hub.requests if method == "GET"] == [f"{SHARDS}/fineweb_train_000002.bin"]


def grow(hub: Hub, path: str, folder: Path) -> bytes:
    """Make one published shard longer than huggingface-hub's read size, below which it keeps nothing of a broken read."""
    write_shard(folder / "long.bin", np.arange(CHUNK // 2 + 50_000) % VOCAB)
    hub.files[path] = (folder / "long.bin").read_bytes()
    return hub.files[path]


def test_a_file_that_changed_on_this_disk_is_fetched_again(hub: Hub, out: Path) -> None:
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    with dataset.train_paths()[0].open("r+b") as file:
        file.seek(2000)
        file.write(b"\1\0")
    shutil.rmtree(dataset.root)
    refuse(hub, out, "has changed since it was fetched")
    again = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    assert again.sha256 == dataset.sha256
    assert again.train_paths()[0].read_bytes() == hub.files[FIRST]


def test_a_broken_connection_is_resumed_where_it_broke(hub: Hub, out: Path, tmp_path: Path) -> None:
    long = grow(hub, FIRST, tmp_path)
    hub.cuts[FIRST] = [CHUNK + 1000]
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    assert hub.gets(FIRST) == [None, f"bytes={CHUNK}-"]
    assert dataset.train_paths()[0].read_bytes() == long


def test_an_interrupted_fetch_goes_on_in_the_next_process(hub: Hub, out: Path, tmp_path: Path) -> None:
    long = grow(hub, SECOND, tmp_path)
    hub.cuts[SECOND], hub.refusals[SECOND] = [CHUNK + 1000], 1
    refuse(hub, out, "cannot be downloaded .* run the same command again")
    assert whole_files(out) == ["fineweb_train_000000.bin", "fineweb_val_000000.bin"]
    part = next(out.rglob("fineweb_train_000001.bin.*.part"))
    assert part.read_bytes() == long[:CHUNK]
    hub.requests.clear()
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    assert (hub.gets(SECOND), hub.gets(FIRST)) == ([f"bytes={CHUNK}-"], [])
    assert dataset.train_paths()[1].read_bytes() == long


def test_a_part_of_another_version_is_not_gone_on_with(hub: Hub, out: Path, tmp_path: Path) -> None:
    newer = bytearray(grow(hub, SECOND, tmp_path))
    hub.cuts[SECOND], hub.refusals[SECOND] = [CHUNK + 1000], 1
    refuse(hub, out, "cannot be downloaded")
    newer[2000] ^= 1
    hub.files[SECOND] = bytes(newer)
    hub.requests.clear()
    dataset = fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
    assert hub.gets(SECOND) == [None]
    assert dataset.train_paths()[1].read_bytes() == bytes(newer)


@pytest.mark.parametrize("change", [-100, 100])
def test_a_body_of_another_size_than_named_is_refused(hub: Hub, out: Path, change: int) -> None:
    hub.sizes[FIRST] = len(hub.files[FIRST]) + change
    refuse(hub, out, "was not received whole")
    assert whole_files(out) == ["fineweb_val_000000.bin"]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda raw: raw[:-2], "tokens it names"),
        (lambda raw: raw + b"\0\0", "tokens it names"),
        (lambda raw: b"\0" + raw[1:], "must be 20240520"),
        (lambda raw: raw[:4] + b"\x07" + raw[5:], "version=7 must be 1"),
        (lambda raw: raw[:-2] + b"\xff\xff", "token id 65535 must be below"),
        (lambda raw: raw[:10], "shorter than its 1024-byte header"),
    ],
)
def test_a_published_shard_that_is_wrong_is_refused(hub: Hub, out: Path, damage: object, rule: str) -> None:
    assert callable(damage)
    good = hub.files[FIRST]
    hub.files[FIRST] = damage(good)
    refuse(hub, out, rule)
    assert whole_files(out) == ["fineweb_val_000000.bin"]
    hub.files[FIRST] = good
    assert len(fetch(CFG, VOCAB, out_root=out, endpoint=hub.url).train) == 2


def test_a_body_with_another_hash_than_named_is_refused(hub: Hub, out: Path) -> None:
    part_name = f"fineweb_train_000000.bin.{hashlib.sha256(sha(hub.files[FIRST]).encode()).hexdigest()[:16]}.part"
    folder = out / ".hub" / f"someone--golf-data--sp{VOCAB}" / SHARDS.removeprefix("datasets/")
    folder.mkdir(parents=True)
    (folder / part_name).write_bytes(bytes(len(hub.files[FIRST]) - 10))
    refuse(hub, out, f"must be {sha(hub.files[FIRST])[:12]}")
    assert whole_files(out) == ["fineweb_val_000000.bin"]
    assert len(fetch(CFG, VOCAB, out_root=out, endpoint=hub.url).train) == 2


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_an_unknown_variant_lists_the_known_ones(hub: Hub, out: Path) -> None:
    cfg = dataclasses.replace(CFG, variant="sp9")
    refuse(hub, out, f"variant=sp9 is not in the manifest of {REPO}; it has fineweb10B_sp{VOCAB}", cfg)


def test_more_shards_than_published_are_refused(hub: Hub, out: Path) -> None:
    refuse(hub, out, "train_shards=4 is more than the 3 published; use 3", dataclasses.replace(CFG, train_shards=4))


@pytest.mark.parametrize("text", [b"[]", b"nonsense", b'{"datasets": 3}', b'{"datasets": ["x"]}'])
def test_a_manifest_of_another_form_is_refused(hub: Hub, out: Path, text: bytes) -> None:
    hub.files["datasets/manifest.json"] = text
    refuse(hub, out, "manifest of someone/golf-data is not understood")


def test_a_manifest_cannot_lead_out_of_its_repository(hub: Hub, out: Path) -> None:
    manifest = json.loads(hub.files["datasets/manifest.json"])
    manifest["tokenizers"][0]["model_path"] = "../../../etc/passwd"
    hub.files["datasets/manifest.json"] = json.dumps(manifest).encode()
    refuse(hub, out, "must be a plain relative path")


def test_a_missing_repository_or_file_is_one_line(hub: Hub, out: Path) -> None:
    refuse(hub, out, "cannot be downloaded|does not exist", dataclasses.replace(CFG, repo_id="nobody/nothing"))
    refuse(hub, out, "must be OWNER/NAME", dataclasses.replace(CFG, repo_id="a/b/c"))
    del hub.files[FIRST]
    refuse(hub, out, "fineweb_train_000000.bin does not exist")


def test_an_unreachable_hub_is_one_line(out: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(CFG, VOCAB, out_root=out, endpoint="http://127.0.0.1:9")


def test_a_tokenizer_of_another_vocabulary_is_refused(hub: Hub, out: Path) -> None:
    with pytest.raises(DataError, match=r"vocabulary=300 must be model\.vocab_size=512"):
        fetch(CFG, 512, out_root=out, endpoint=hub.url)


def test_a_folder_that_cannot_be_written_is_a_storage_error(hub: Hub, out: Path) -> None:
    out.write_text("a file in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        fetch(CFG, VOCAB, out_root=out, endpoint=hub.url)
