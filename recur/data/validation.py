"""The denominators of BPB, measured on the validation documents and held against the byte table, document by document.

Source: RULES B3 and DATA G ("LUT round trip per doc"). A document whose tokens stand for other bytes than its decoded
text, or which contains an unknown piece (a tokenizer without byte fallback), or which decodes to another text than its source
normalised, has no defined bits-per-byte and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recur.data.oracle import difference, normal_form
from recur.data.tokenizer import ByteTable, Processor
from recur.errors import DataError

REMEDY = "reuse a tokenizer with byte fallback, or let one be trained"


@dataclass(frozen=True)
class EncodedDocument:
    """Token ids of one document without BOS, its name for error messages, and its text where that is at hand."""

    name: str
    ids: list[int]
    source: str | None = None


def scored_bytes(documents: Sequence[EncodedDocument], processor: Processor, table: ByteTable, threads: int) -> int:
    """Total UTF-8 bytes of the decoded documents, equal to the byte table's count for each of them.

    Args:
        documents: encoded validation documents; each is scored after a BOS.
        processor: the tokenizer that encoded them.
        table: its byte table.
        threads: of SentencePiece; the result does not depend on it.

    Raises:
        DataError: a document with an unknown piece, with a count that differs from its text, or whose text differs from its
            source.
    """
    total = 0
    texts = processor.decode([d.ids for d in documents], num_threads=threads)
    for document, text in zip(documents, texts, strict=True):
        unknown = document.ids.count(processor.unk_id())
        if unknown:
            rule = f"has {unknown} unknown pieces under this tokenizer, whose bytes cannot be counted"
            raise DataError(f"document {document.name}", rule, REMEDY)
        stream = np.array([processor.bos_id(), *document.ids], np.int64)
        counted, actual = int(table.count(stream[:-1], stream[1:]).sum()), len(text.encode())
        if counted != actual:
            rule = f"counts {counted} bytes by its tokens but decodes to {actual}"
            raise DataError(f"document {document.name}", rule, REMEDY)
        lost = difference(normal_form(processor, document.source), text) if document.source is not None else None
        if lost is not None:
            raise DataError(f"document {document.name}", f"is not what its tokens decode to: {lost}", REMEDY)
        total += actual
    return total
