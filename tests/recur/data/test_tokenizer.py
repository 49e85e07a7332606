"""Byte tables against decoded text, training that is repeatable, and tokenizers that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sentencepiece as spm
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.tokenizer import BOS_ID, ByteTable, Processor, byte_table, load_byte_table, load_processor, train_tokenizer
from recur.errors import DataError
from tests.conformance.base import load_vectors
from tests.recur.data.samples import VOCAB, sentences, write_odd_tokenizer, write_tokenizer

GOLDEN = Path(__file__).parents[2] / "golden" / "07_bpb_bytes.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tok") / "t.model", sentences(200))


@pytest.fixture(scope="module")
def processor(model: Path) -> Processor:
    return load_processor(model, VOCAB)


def oracle_bytes(processor: Processor, ids: list[int]) -> int:
    """The slow way: UTF-8 of the decoded text."""
    return len(processor.decode([ids], num_threads=1)[0].encode())


def table_bytes(table: ByteTable, ids: list[int]) -> int:
    stream = np.array([BOS_ID, *ids])
    return int(table.count(stream[:-1], stream[1:]).sum())


def test_count_by_hand() -> None:
    table = ByteTable(np.array([0, 5, 3], np.int16), np.array([0, 1, 0], bool), np.array([1, 0, 0], bool))
    previous, target = np.array([[0, 2, 1]]), np.array([[1, 1, 0]])
    assert table.count(previous, target).tolist() == [[5, 6, 0]]
    assert table.count(np.zeros(0, int), np.zeros(0, int)).tolist() == []


def test_reference_tables_and_streams_give_the_reference_counts() -> None:
    golden = load_vectors(GOLDEN)
    checked = 0
    for name, info in golden.info["tokenizers"].items():
        arrays = golden.below(f"{name}/")
        if "base_bytes" in arrays:
            table = ByteTable(arrays["base_bytes"], arrays["leading_space"], arrays["boundary"])
            stream = arrays["stream_first_1500"].astype(np.int64)
            total = int(table.count(stream[:-1], stream[1:]).sum())
            assert total == info["counts"]["counted_bytes_first_1500_tokens"]
            checked += 1
    assert checked


ODD = ["", " ", "  two  spaces ", " leading", "NUL\0inside", "\ufb01ne \u2163", "\u2581marker\u2581s", "a\u3000b", "e\u0301"]


@pytest.mark.parametrize("text", [*ODD, "<s> <0x41>", "\U0001f469\u200d\U0001f467", "tab\tline\r\nend", "\ufeffbom", "\u2047"])
def test_bytes_equal_decoded_utf8_for_odd_text(processor: Processor, text: str) -> None:
    ids = processor.encode([text], num_threads=1)[0]
    assert table_bytes(byte_table(processor), ids) == oracle_bytes(processor, ids)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40))
def test_bytes_equal_decoded_utf8(processor: Processor, text: str) -> None:
    ids = processor.encode([text], num_threads=1)[0]
    assert table_bytes(byte_table(processor), ids) == oracle_bytes(processor, ids)


def test_bytes_equal_decoded_utf8_with_a_dummy_prefix(tmp_path: Path) -> None:
    path = write_odd_tokenizer(tmp_path / "t.model", sentences(200), VOCAB, add_dummy_prefix=True)
    prefixed = load_processor(path, VOCAB)
    for text in [*ODD, "river stone", *sentences(20, seed=5)]:
        ids = prefixed.encode([text], num_threads=1)[0]
        assert table_bytes(byte_table(prefixed), ids) == oracle_bytes(prefixed, ids)


def test_the_trained_model_has_the_published_options(processor: Processor) -> None:
    assert [processor.id_to_piece(i) for i in range(4)] == ["<pad>", "<s>", "</s>", "<unk>"]
    assert sum(processor.is_byte(i) for i in range(VOCAB)) == 256
    assert processor.encode(["river"], num_threads=1) != processor.encode([" x river"], num_threads=1)
    assert not processor.id_to_piece(processor.encode(["river"], num_threads=1)[0][0]).startswith("\u2581")
    digits = processor.encode(["1234"], num_threads=1)[0]
    assert all(len(processor.id_to_piece(i)) == 1 or processor.is_byte(i) for i in digits)


def test_training_twice_gives_the_same_bytes() -> None:
    assert train_tokenizer(sentences(100), VOCAB) == train_tokenizer(sentences(100), VOCAB)


def test_a_document_longer_than_a_sentence_is_learned_from() -> None:
    model = train_tokenizer([" ".join(sentences(300))], VOCAB)
    assert spm.SentencePieceProcessor(model_proto=model).vocab_size() == VOCAB


@pytest.mark.parametrize("texts", [["river stone light"], [], ["", "\0"], sentences(3)])
def test_a_vocabulary_that_the_text_does_not_carry_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="vocab_size=1000 cannot be learned") as caught:
        train_tokenizer(texts, 1000)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_smaller_than_the_byte_pieces_is_refused() -> None:
    with pytest.raises(DataError, match="vocab_size=100 cannot be learned"):
        train_tokenizer(sentences(100), 100)


def test_a_vocabulary_mismatch_is_refused(model: Path) -> None:
    with pytest.raises(DataError, match=r"vocabulary=300 must be model\.vocab_size=512; set it to 300"):
        load_byte_table(model, 512)


def test_a_tokenizer_without_a_bare_space_piece_is_refused(tmp_path: Path) -> None:
    words = ["".join(s.split()) for s in sentences(100)]
    path = write_odd_tokenizer(tmp_path / "t.model", words, VOCAB)
    with pytest.raises(DataError, match="has no bare space piece"):
        load_byte_table(path, VOCAB)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_an_unreadable_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "t.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="is not a readable SentencePiece model"):
        load_processor(path, VOCAB)
