"""Checkpoints on an object store: moto's S3 server through pyarrow, and a training that goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from recur.data.dataset import Dataset
from recur.errors import StorageError
from recur.pipeline.training import discard_checkpoints
from recur.record.journal import read_events
from recur.train.resume.storage import open_storage
from tests.recur.train.test_resume import TREE, files, small_store, spec_of, train

BUCKET = "checkpoints-of-tests"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a folder in a bucket of a local S3."""
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        patch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/runs?scheme=http&region=us-east-1&endpoint_override={url}"
    server.stop()
    patch.undo()


def test_files_come_and_go_as_on_a_disk(s3: str, tmp_path: Path) -> None:
    for storage in (open_storage(s3), open_storage(tmp_path)):
        assert storage.names() == []
        storage.write("a/one", b"1")
        storage.write("a/two", b"")
        storage.write("a/one", b"11")
        assert (storage.names(), storage.names("a"), storage.read("a/one")) == (["a"], ["one", "two"], b"11")
        with pytest.raises(FileNotFoundError):
            storage.read("a/three")
        storage.delete("a")
        storage.delete("a")
        assert storage.names() == []


def test_a_checkpoint_on_s3_comes_back_and_old_ones_go(s3: str) -> None:
    store = replace(small_store(Path("unused")), storage=open_storage(s3))
    for step in range(4):
        store.write(step, 0, TREE)
        store.prune()
    assert store.steps() == [2, 3] and store.resumable().step == 3
    assert store.read(3, 0)["numbers"] == TREE["numbers"]
    store.remove_above(-1)
    assert store.steps() == []


def test_a_training_goes_on_from_s3(s3: str, tmp_path: Path, tiny_dataset: Dataset) -> None:
    whole = spec_of(tmp_path / "a", tiny_dataset)
    broken = replace(spec_of(tmp_path / "b", tiny_dataset), checkpoints=s3)
    train(whole)
    train(broken)
    assert not list(tmp_path.glob("b/swp/seed_7/checkpoints"))
    second = replace(broken, attempt=2)
    train(second)
    assert files(second) == files(whole)
    events = read_events(second.attempt_dir.path("progress.jsonl"))
    assert [e.kind for e in events].count("resumed") == 1
    discard_checkpoints(broken)


def test_a_bucket_that_is_not_there_is_one_line(s3: str) -> None:
    gone = open_storage(s3.replace(BUCKET, "no-such-bucket-here"))
    with pytest.raises(StorageError, match="no-such-bucket-here") as refused:
        gone.write("a/one", b"1")
    assert "\n" not in str(refused.value)
