"""The byte oracle: the bytes of BPB counted a second way, by decoding what is scored and holding it against its source.

Source: RULES B3. The byte table says what each target stands for; here SentencePiece decodes the same tokens, document by
document, and the UTF-8 length of that text must be the table's sum. Where the source documents are at hand, the text must be
their normal form under the tokenizer's own rules, letter for letter: a tokenizer without byte fallback loses what it
does not know and would otherwise be scored on less text. A space marker that comes out of decoding is a space: the
normal form has no other use for it (#897 falls back to its three bytes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from recur.data import embedded
from recur.data.dataset import Dataset, validation_tokens
from recur.data.shards import Tokens, TokensI64
from recur.data.tokenizer import SPACE, ByteTable, Processor, load_processor
from recur.data.writer import BATCH_DOCS, ENCODE_THREADS
from recur.errors import DataError

SHOWN_CHARS = 16


class Normalizing(Processor, Protocol):
    """A processor that shows the normal form of a text; SentencePiece's has it."""

    def normalize(self, text: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ByteOracle:
    """Bytes of a scored stream, counted by its table, by decoding, and from its source.

    Attributes:
        documents: documents of the stream; the last may be cut off.
        table_bytes: sum of the byte table over all targets.
        decoded_bytes: UTF-8 length of the decoded documents (an unknown piece decodes to five bytes).
        source_bytes: UTF-8 length of the sources' normal form, a cut last document counted as far as it goes (left out where
            it differs); None where the sources are not at hand.
        unknown_pieces: targets that stand for text which the tokenizer does not know.
        lost_bytes: bytes of the sources that no token carries, over the documents that `source_bytes` counts.
        first_difference: where a count or a text first differs, in words; None where all agree.
    """

    documents: int
    table_bytes: int
    decoded_bytes: int
    source_bytes: int | None
    unknown_pieces: int
    lost_bytes: int | None
    first_difference: str | None

    @property
    def agrees(self) -> bool:
        """Whether no difference was found."""
        return self.first_difference is None


def byte_oracle(
    tokens: Tokens,
    processor: Processor,
    table: ByteTable,
    sources: Sequence[str] | None = None,
) -> ByteOracle:
    """Count the bytes of all targets of a stream by decoding them.

    Args:
        tokens: the stream, [n]; it begins with a BOS, as each document does. The first token is no target.
        processor: the tokenizer that made it, as SentencePiece gives it.
        table: what the score divides by.
        sources: the documents in order, as they were encoded; further ones are not looked at.

    Raises:
        DataError: the stream does not begin with a BOS, or has more documents than there are sources.
    """
    stream = np.asarray(tokens, np.int64)
    bos = processor.bos_id()
    if not len(stream) or stream[0] != bos:
        raise DataError("the scored stream", f"must begin with a BOS (token {bos}) to be decoded", "give it from its start")
    documents = np.split(stream, np.flatnonzero(stream == bos)[1:])
    if sources is not None and len(sources) < len(documents):
        raise DataError(f"sources={len(sources)}", f"must be the stream's documents ({len(documents)})", "give them all")
    count = _Count(processor, table, sources)
    for index, text in enumerate(_decoded(documents, processor)):
        count.add(index, documents[index], text, last=index == len(documents) - 1)
    return count.result(len(documents), int(table.count(stream[:-1], stream[1:]).sum()))


def dataset_oracle(dataset: Dataset, seq_len: int) -> ByteOracle:
    """The oracle of a dataset's validation stream as evaluated; the sources are at hand for text of this very Python.

    Raises:
        DataError: see `validation_tokens` and `byte_oracle`.
    """
    processor = load_processor(dataset.tokenizer_path, dataset.vocab_size)
    at_hand = dataset.source == "embedded" and dataset.origin == embedded.origin()
    sources = [d.text for d in embedded.embedded_documents()[: dataset.val_docs]] if at_hand else None
    return byte_oracle(validation_tokens(dataset, seq_len), processor, dataset.byte_table(), sources)


def normal_form(processor: Processor, text: str) -> str:
    """What decoding must give back for ``text``: the tokenizer's normalisation with plain spaces, none in front."""
    return cast(Normalizing, processor).normalize(text).replace(SPACE, " ").removeprefix(" ")


def difference(expected: str, text: str) -> str | None:
    """Where two texts first differ, in words; None where they are equal."""
    if expected == text:
        return None
    pairs = itertools.zip_longest(expected, text)
    at = next(k for k, (a, b) in enumerate(pairs) if a != b)
    shown = [repr(t[at : at + SHOWN_CHARS]) for t in (expected, text)]
    return f"at byte {len(expected[:at].encode())} the source has {shown[0]}, the tokens {shown[1]}"


class _Count:
    """Sums over documents, and the first difference."""

    def __init__(self, processor: Processor, table: ByteTable, sources: Sequence[str] | None) -> None:
        self.processor, self.table, self.sources = processor, table, sources
        self.decoded = self.source = self.unknown = self.lost = self.by_table = 0
        self.first: str | None = None

    def add(self, index: int, document: TokensI64, text: str, *, last: bool) -> None:
        """Hold one document, BOS in front, against its decoded text."""
        open_end = _open_end(document, self.processor) if last else 0
        if open_end:
            text = self._text(document[1 : len(document) - open_end])
        counted = int(self.table.count(document[:-1], document[1:]).sum())
        actual = len(text.encode()) + open_end
        unknown = int((document == self.processor.unk_id()).sum())
        self.by_table += counted
        self.decoded += actual
        self.unknown += unknown
        lost = self._compare(document, text, self.sources[index], open_end, last=last) if self.sources is not None else None
        bytes_differ = f"{counted} bytes by the table, {actual} decoded" if counted != actual else None
        found = lost or bytes_differ or (f"{unknown} unknown pieces" if unknown else None)
        if found is not None:
            self._note(f"document {index}: {found}")

    def _compare(self, document: TokensI64, text: str, source: str, open_end: int, *, last: bool) -> str | None:
        expected = normal_form(self.processor, source)
        if last and expected.startswith(text):
            self.source += len(text.encode()) + open_end
            return None
        found = difference(expected, text)
        if not last:
            known = self._text(document[1:][document[1:] != self.processor.unk_id()]) if found else text
            self.source += len(expected.encode())
            self.lost += max(len(expected.encode()) - len(known.encode()), 0)
        return found

    def _text(self, ids: TokensI64) -> str:
        return _plain(self.processor.decode([ids.tolist()], num_threads=1)[0])

    def _note(self, what: str) -> None:
        self.first = self.first or what

    def result(self, documents: int, table_bytes: int) -> ByteOracle:
        """The oracle's word; ``table_bytes`` is the table's sum over the whole stream, BOS targets too."""
        if table_bytes != self.by_table:
            self._note(f"BOS tokens count {table_bytes - self.by_table} bytes by the table")
        known = self.sources is not None
        return ByteOracle(
            documents=documents,
            table_bytes=table_bytes,
            decoded_bytes=self.decoded,
            source_bytes=self.source if known else None,
            unknown_pieces=self.unknown,
            lost_bytes=self.lost if known else None,
            first_difference=self.first,
        )


def _decoded(documents: Sequence[TokensI64], processor: Processor) -> Iterator[str]:
    for low in range(0, len(documents), BATCH_DOCS):
        some = [d[1:].tolist() for d in documents[low : low + BATCH_DOCS]]
        yield from map(_plain, processor.decode(some, num_threads=ENCODE_THREADS))


def _plain(text: str) -> str:
    return text.replace(SPACE, " ")


def _open_end(document: TokensI64, processor: Processor) -> int:
    """Byte tokens at the end of a cut-off document that begin a character without ending it; they decode to nothing."""
    for count in (1, 2, 3):
        ids = document[1:][-count:].tolist()
        if len(ids) < count or not processor.is_byte(ids[0]):
            return 0
        first = int(processor.id_to_piece(ids[0])[1:-1], 16)
        if first < 0x80:
            return 0
        if first >= 0xC0:
            needed = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return count if count < needed else 0
    return 0
