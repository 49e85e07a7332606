"""Group 07: byte tables and byte accounting of each tokenizer over the validation documents; all exact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recur.data.documents import read_documents
from recur.data.shards import TokensI64
from recur.data.staging import sha256_file
from recur.data.tokenizer import SPACE, ByteTable, Processor, byte_table, load_byte_table, load_processor
from recur.data.validation import EncodedDocument, scored_bytes
from recur.errors import DataError
from tests.conformance.base import Array, Case, Context, Skip, Vectors, exact


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Texts, their ids with BOS in front, and the bytes counted for each document."""

    texts: list[str]
    decoded: list[str]
    ids: list[TokensI64]
    counted: list[int]


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All cases of the group.

    Raises:
        Skip: no tokenizers or no documents were given, or one of the tokenizers is not among them.
    """
    if context.tokenizers is None or context.docs is None:
        raise Skip("needs --tokenizers DIR and --docs FILE")
    models = {sha256_file(p): p for p in sorted(context.tokenizers.glob("*.model"))}
    texts = [d.text for d in read_documents([context.docs])]
    cases: list[Case] = []
    for name, info in vectors.info["tokenizers"].items():
        if info["model_sha256"] not in models:
            raise Skip(f"tokenizer {name} ({info['model_sha256'][:12]}) is not in {context.tokenizers}")
        path = models[info["model_sha256"]]
        cases += _table_cases(vectors, name, info, path)
        cases += _count_cases(vectors, name, info, load_processor(path, info["vocab"]), texts)
    return cases


def _table_cases(vectors: Vectors, name: str, info: dict[str, Any], path: Path) -> Iterator[Case]:
    table, processor = load_byte_table(path, info["vocab"]), load_processor(path, info["vocab"])
    arrays: dict[str, Array] = {"base_bytes": table.base, "leading_space": table.space, "boundary": table.boundary}
    for key, mine in arrays.items():
        if f"{name}/{key}" in vectors.arrays:
            yield exact(f"{name} {key}", mine, vectors.arrays[f"{name}/{key}"])
    numbers = {
        "sum_base_bytes": int(table.base.sum()),
        "n_leading_space": int(table.space.sum()),
        "n_boundary": int(table.boundary.sum()),
        "n_byte_pieces": sum(processor.is_byte(i) for i in range(info["vocab"])),
        "max_base_bytes": int(table.base.max()),
        "n_zero_base_bytes": int((table.base == 0).sum()),
        "id_of_lone_space_marker": processor.piece_to_id(SPACE),
        "sha256_base_bytes_int16_le": hashlib.sha256(table.base.astype("<i2").tobytes()).hexdigest(),
        "sha256_leading_space_bool": hashlib.sha256(table.space.tobytes()).hexdigest(),
        "sha256_boundary_bool": hashlib.sha256(table.boundary.tobytes()).hexdigest(),
    }
    yield from _compare(f"{name} table", numbers, info["lut"])
    special = {"bos": processor.bos_id(), "unk": processor.unk_id(), "model_bytes": path.stat().st_size}
    yield from _compare(name, special, info)


def _compare(name: str, mine: dict[str, Any], golden: dict[str, Any]) -> Iterator[Case]:
    """One exact case per key that the golden side has."""
    for key, value in mine.items():
        if key in golden:
            yield Case(f"{name} {key}", float(value != golden[key]), 0)


def _encode(processor: Processor, table: ByteTable, texts: list[str]) -> Encoded:
    encoded = processor.encode(texts, num_threads=1)
    ids = [np.array([processor.bos_id(), *e], np.int64) for e in encoded]
    return Encoded(
        texts=texts,
        decoded=processor.decode(encoded, num_threads=1),
        ids=ids,
        counted=[int(table.count(i[:-1], i[1:]).sum()) for i in ids],
    )


def _count_cases(vectors: Vectors, name: str, info: dict[str, Any], processor: Processor, texts: list[str]) -> Iterator[Case]:
    table = byte_table(processor)
    first, last = vectors.info["document_range"]
    everything = _encode(processor, table, texts)
    chosen = _encode(processor, table, texts[first:last])
    counts = info["counts"]
    yield from _compare(f"{name} docs", _totals(processor, table, chosen), counts["docs"])
    if "all_available_docs" in counts:
        yield from _compare(f"{name} all docs", _totals(processor, table, everything), counts["all_available_docs"])
    rows = counts["first_20_docs"]["rows"]
    yield exact(f"{name} first documents", [_row(everything, int(row[0])) for row in rows], rows)
    stream = np.concatenate(chosen.ids)
    yield Case(f"{name} stream sha256", float(_sha256(stream) != counts["sha256_token_stream_uint16_le"]), 0)
    golden = vectors.arrays[f"{name}/stream_first_1500"]
    yield exact(f"{name} stream", stream[: len(golden)], golden)
    head = golden.astype(np.int64)
    yield exact(f"{name} head bytes", table.count(head[:-1], head[1:]).sum(), counts["counted_bytes_first_1500_tokens"])
    yield _denominator_case(name, processor, table, chosen, has_unknown=counts["docs"]["unk_tokens"] > 0)


def _sha256(stream: TokensI64) -> str:
    return hashlib.sha256(stream.astype("<u2").tobytes()).hexdigest()


def _row(encoded: Encoded, index: int) -> list[int]:
    return [index, len(encoded.ids[index]), encoded.counted[index], len(encoded.texts[index].encode())]


def _totals(processor: Processor, table: ByteTable, encoded: Encoded) -> dict[str, Any]:
    stream = np.concatenate(encoded.ids)
    counted = int(table.count(stream[:-1], stream[1:]).sum())
    utf8 = sum(len(t.encode()) for t in encoded.texts)
    is_byte = np.array([processor.is_byte(i) for i in range(processor.vocab_size())])
    return {
        "documents": len(encoded.texts),
        "tokens_incl_bos": stream.size,
        "predicted_tokens": stream.size - 1,
        "counted_bytes": counted,
        "utf8_bytes": utf8,
        "difference": counted - utf8,
        "bytes_per_predicted_token": counted / (stream.size - 1),
        "bytes_per_token_incl_bos": counted / stream.size,
        "documents_roundtrip_exact": sum(a == b for a, b in zip(encoded.texts, encoded.decoded, strict=True)),
        "unk_tokens": int((stream == processor.unk_id()).sum()),
        "byte_fallback_tokens": int(is_byte[stream].sum()),
    }


def _denominator_case(name: str, processor: Processor, table: ByteTable, encoded: Encoded, *, has_unknown: bool) -> Case:
    """The preparation job's own count equals the decoded text, or it refuses a tokenizer with unknown pieces."""
    documents = [EncodedDocument(str(k), ids[1:].tolist()) for k, ids in enumerate(encoded.ids)]
    try:
        total = scored_bytes(documents, processor, table, threads=1)
    except DataError:
        return Case(f"{name} denominator refused", float(not has_unknown), 0)
    return exact(f"{name} denominator", total, sum(len(t.encode()) for t in encoded.decoded))
