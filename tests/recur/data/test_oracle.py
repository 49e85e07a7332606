"""The byte oracle by hand, on odd text, on cut streams, and on tables and tokenizers that must be caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data.oracle import byte_oracle, dataset_oracle, difference, normal_form
from recur.data.tokenizer import byte_table
from recur.data.validation import EncodedDocument, scored_bytes
from recur.errors import DataError
from tests.probes.line import Line
from tests.probes.texts import LINES, encoded, processors
from tests.recur.evaluate.attempts import tiny_dataset, tiny_recipe

TEXTS = ["river stone 7", " two  spaces\n", "ﬁne é \U0001f600 語", "x", "garden \u2581 light"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_planted_byte_bugs_are_caught_and_honest_tables_raise_no_alarm(line: Line, seed: int) -> None:
    assert line.alarm(seed) == line.planted


def test_the_three_counts_of_an_honest_tokenizer_are_those_of_the_normal_form() -> None:
    processor = processors()["honest"]
    oracle = byte_oracle(encoded(processor, TEXTS), processor, byte_table(processor), TEXTS)
    by_hand = ["river stone 7", "two spaces", "fine é \U0001f600 語", "x", "garden light"]
    assert [normal_form(processor, text) for text in TEXTS[:4]] == by_hand[:4]
    assert oracle.agrees
    total = sum(len(normal_form(processor, text).encode()) for text in TEXTS)
    assert (oracle.documents, oracle.table_bytes, oracle.decoded_bytes, oracle.source_bytes) == (5, total, total, total)
    assert (oracle.unknown_pieces, oracle.lost_bytes) == (0, 0)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=4), keep=st.floats(0, 1))
def test_any_text_agrees_wherever_the_stream_is_cut(texts: list[str], keep: float) -> None:
    processor = processors()["honest"]
    stream = encoded(processor, texts)
    cut = stream[: 1 + round(keep * (len(stream) - 1))]
    for sources in (None, texts):
        oracle = byte_oracle(cut, processor, byte_table(processor), sources)
        assert oracle.first_difference is None
        assert oracle.source_bytes == (None if sources is None else oracle.table_bytes)


def test_a_stream_that_ends_inside_a_character_counts_its_bytes() -> None:
    processor, text = processors()["honest"], "a\U0001f600"
    stream = encoded(processor, [text])
    counts = [byte_oracle(stream[:n], processor, byte_table(processor), [text]).decoded_bytes for n in range(1, 7)]
    assert len(stream) == 6
    assert counts == [0, 1, 2, 3, 4, 5]


def test_what_a_tokenizer_without_byte_fallback_loses_is_counted_and_shown() -> None:
    processor = processors()["lossy"]
    texts = ["river stone", "light é語 garden é", "window"]
    oracle = byte_oracle(encoded(processor, texts), processor, byte_table(processor), texts)
    assert oracle.first_difference is not None
    assert oracle.first_difference.startswith("document 1: at byte 6 the source has 'é語 garden é', the tokens ' ⁇ ")
    assert oracle.lost_bytes == len("é語é".encode())
    assert oracle.source_bytes == sum(len(t.encode()) for t in texts)
    assert oracle.unknown_pieces >= 2
    blind = byte_oracle(encoded(processor, texts), processor, byte_table(processor))
    assert (blind.source_bytes, blind.lost_bytes) == (None, None)
    assert not blind.agrees


def test_other_documents_than_the_encoded_ones_do_not_agree() -> None:
    processor = processors()["honest"]
    oracle = byte_oracle(encoded(processor, ["river", "stone"]), processor, byte_table(processor), ["river", "stove"])
    assert oracle.first_difference == "document 1: at byte 3 the source has 've', the tokens 'ne'"


def test_a_table_that_counts_a_bos_is_caught() -> None:
    processor = processors()["honest"]
    table = byte_table(processor)
    base = table.base.copy()
    base[processor.bos_id()] = 1
    stream = encoded(processor, ["river", "stone", "light"])
    oracle = byte_oracle(stream, processor, replace(table, base=base))
    assert oracle.first_difference == "BOS tokens count 2 bytes by the table"
    assert oracle.table_bytes == oracle.decoded_bytes + 2


def test_where_texts_differ() -> None:
    assert difference("same", "same") is None
    assert difference("éa", "éb") == "at byte 2 the source has 'a', the tokens 'b'"
    assert difference("ab", "a") == "at byte 1 the source has 'b', the tokens ''"


@pytest.mark.parametrize("stream", [[], [40, 41]])
def test_a_stream_without_a_bos_in_front_is_refused(stream: list[int]) -> None:
    processor = processors()["honest"]
    with pytest.raises(DataError, match="must begin with a BOS"):
        byte_oracle(np.array(stream, np.int64), processor, byte_table(processor))


def test_too_few_sources_are_refused() -> None:
    processor = processors()["honest"]
    with pytest.raises(DataError, match=r"sources=1 must be the stream's documents \(2\)"):
        byte_oracle(encoded(processor, ["a", "b"]), processor, byte_table(processor), ["a"])


def test_a_dataset_whose_source_is_not_kept_is_counted_by_decoding_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset = tiny_dataset(tmp_path_factory.mktemp("oracle"), tiny_recipe())
    oracle = dataset_oracle(dataset, 32)
    assert oracle.agrees
    assert oracle.source_bytes is None
    assert 0 < oracle.table_bytes <= dataset.val_text_bytes


def test_preparation_refuses_a_document_that_decodes_to_another_text_than_its_source() -> None:
    processor = processors()["honest"]
    ids = processor.encode(["river stone"], num_threads=1)[0]
    for source in ("river  stone", None):
        assert scored_bytes([EncodedDocument("d:1", ids, source)], processor, byte_table(processor), 1) == 11
    with pytest.raises(DataError, match="document d:1 is not what its tokens decode to: at byte 6 the source has 'STONE'"):
        scored_bytes([EncodedDocument("d:1", ids, "river STONE")], processor, byte_table(processor), 1)
