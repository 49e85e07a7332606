"""The embedded text: enough of it, in normal form, the same in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recur.config import DataConfig
from recur.data.corpus import prepare
from recur.data.documents import Document
from recur.data.embedded import DOCUMENT_CHARS, Normalizer, embedded_documents
from recur.data.shards import open_tokens
from recur.data.tokenizer import load_processor

ROOT = Path(__file__).parents[3]
DIGEST = (
    "import hashlib; from recur.data.embedded import embedded_documents as e; "
    "print(hashlib.sha256(''.join(d.text for d in e()).encode()).hexdigest())"
)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return embedded_documents()


def test_there_is_enough_text_in_many_documents(documents: list[Document]) -> None:
    assert 5e6 < sum(len(d.text.encode()) for d in documents) < 2e7
    assert len(documents) > 1500
    assert max(len(d.text) for d in documents) <= 1.5 * DOCUMENT_CHARS


def test_every_document_is_in_normal_form(documents: list[Document]) -> None:
    normalizer = Normalizer()
    assert all(normalizer.normalize(d.text) == d.text for d in documents)


def test_no_document_comes_twice(documents: list[Document]) -> None:
    assert len({d.text for d in documents}) == len(documents)


@pytest.mark.parametrize("kind", ["topic ", "docstrings of ", "argparse.py", "licence"])
def test_each_kind_of_text_is_there(documents: list[Document], kind: str) -> None:
    assert any(d.name.startswith(kind) for d in documents)


def test_tests_and_packages_are_left_out(documents: list[Document]) -> None:
    left_out = ("test/", "site-packages/", "_sysconfigdata")
    assert not [d.name for d in documents if d.name.startswith(left_out)]


def test_two_processes_read_the_same_text() -> None:
    def digest(prelude: str) -> str:
        command = [sys.executable, "-c", prelude + DIGEST]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    plain = digest("")
    assert len(plain) == 64
    assert digest("import sys, torch; sys.excepthook = print; ") == plain


def test_scored_bytes_equal_raw_bytes_and_decoded_text(tmp_path: Path, documents: list[Document]) -> None:
    cfg = DataConfig(source="embedded", val_docs=48, tokenizer_docs=600, shard_tokens=500_000)
    dataset = prepare(cfg, 1024, out_root=tmp_path, train_seq_len=128)
    assert dataset.val_text_bytes == dataset.val_raw_bytes
    processor = load_processor(dataset.tokenizer_path, 1024)
    ids = open_tokens(dataset.val_paths()[0]).tolist()
    decoded = processor.decode([ids], num_threads=1)[0]
    assert decoded == "".join(d.text for d in documents[:48])
    assert len(decoded.encode()) == dataset.val_text_bytes
