"""SentencePiece models: reading them, counting the bytes a token stands for, training one.

Sources: REFERENCE 2.3-2.4 (byte table), DATA G (training options), RULES B3 (why a bare space piece is required).
Deviation of training from DATA G: a document longer than SentencePiece's sentence limit, which it would silently
drop, is cut at whitespace, so that a few long documents are text enough.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import sentencepiece as spm

from recur.data.shards import TokensI64
from recur.errors import DataError

PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
SPACE = "\u2581"
SENTENCE_BYTES = 4192  # SentencePiece's own default of max_sentence_length, in bytes

TRAINING_OPTIONS: dict[str, Any] = {
    "model_type": "bpe",
    "character_coverage": 0.999,
    "byte_fallback": True,
    "split_digits": True,
    "normalization_rule_name": "nmt_nfkc",
    "add_dummy_prefix": False,
    "pad_id": PAD_ID,
    "bos_id": BOS_ID,
    "eos_id": EOS_ID,
    "unk_id": UNK_ID,
    "hard_vocab_limit": False,
}
TRAINING_THREADS = 1  # part of the model file's own header, hence of its hash; BPE training hardly uses more


class Processor(Protocol):
    """The part of `sentencepiece.SentencePieceProcessor` that is used here (the package ships no types)."""

    def vocab_size(self) -> int: ...
    def encode(self, text: list[str], *, num_threads: int) -> list[list[int]]: ...
    def decode(self, ids: list[list[int]], *, num_threads: int) -> list[str]: ...
    def id_to_piece(self, id: int) -> str: ...
    def piece_to_id(self, piece: str) -> int: ...
    def is_control(self, id: int) -> bool: ...
    def is_unknown(self, id: int) -> bool: ...
    def is_unused(self, id: int) -> bool: ...
    def is_byte(self, id: int) -> bool: ...
    def bos_id(self) -> int: ...
    def unk_id(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ByteTable:
    """How many bytes of text each token id stands for.

    Attributes:
        base: [V] int16, bytes without the leading space.
        space: [V] bool, the piece begins with the space marker.
        boundary: [V] bool, control, unknown and unused pieces: no bytes, and no space counted after them.
    """

    base: npt.NDArray[np.int16]
    space: npt.NDArray[np.bool_]
    boundary: npt.NDArray[np.bool_]

    def count(self, previous: npt.NDArray[Any], target: npt.NDArray[Any]) -> TokensI64:
        """Bytes of each target: base + 1 if it begins with a space and does not follow a boundary (REFERENCE 2.4).

        Args:
            previous: token ids in front of `target`, any shape.
            target: token ids that are scored, same shape.

        Returns:
            int64 of that shape.
        """
        counted: TokensI64 = self.base[target].astype(np.int64)
        counted += self.space[target] & ~self.boundary[previous]
        return counted


def load_processor(model_path: Path, vocab_size: int) -> Processor:
    """Open a SentencePiece model.

    Raises:
        DataError: unreadable, a vocabulary other than `vocab_size`, no bare space piece, or no BOS.
    """
    try:
        model = model_path.read_bytes()
        if not model:
            raise ValueError("the file is empty")
        processor = cast(Processor, spm.SentencePieceProcessor(model_proto=model))
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"tokenizer {model_path}", f"is not a readable SentencePiece model ({error})", "give another") from error
    return checked(processor, str(model_path), vocab_size)


def checked(processor: Processor, name: str, vocab_size: int) -> Processor:
    """The processor, if its bytes can be counted and its vocabulary is the model's.

    Raises:
        DataError: see `load_processor`.
    """
    size = processor.vocab_size()
    if size != vocab_size:
        raise DataError(f"tokenizer {name} vocabulary={size}", f"must be model.vocab_size={vocab_size}", f"set it to {size}")
    if processor.piece_to_id(SPACE) == processor.unk_id():
        raise DataError(f"tokenizer {name}", "has no bare space piece (U+2581), so bytes would be miscounted", "give another")
    if processor.bos_id() < 0:
        raise DataError(f"tokenizer {name}", "has no BOS piece to start a document with", "give another")
    return processor


def load_byte_table(model_path: Path, vocab_size: int) -> ByteTable:
    """The byte table of a SentencePiece model file.

    Raises:
        DataError: see `load_processor`.
    """
    return byte_table(load_processor(model_path, vocab_size))


def byte_table(processor: Processor) -> ByteTable:
    """Tabulate base bytes, leading space and boundary of each id (REFERENCE 2.3)."""
    size = processor.vocab_size()
    base, space, boundary = np.zeros(size, np.int16), np.zeros(size, np.bool_), np.ones(size, np.bool_)
    for i in range(size):
        if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i):
            continue
        boundary[i] = False
        if processor.is_byte(i):
            base[i] = 1
            continue
        piece = processor.id_to_piece(i)
        space[i] = piece.startswith(SPACE)
        base[i] = len(piece.removeprefix(SPACE).encode())
    return ByteTable(base, space, boundary)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> bytes:
    """Train a BPE model with the options of DATA G; the same texts give the same bytes.

    Args:
        texts: documents; NUL becomes a space, ends are stripped, empty ones are left out.
        vocab_size: V, exact.

    Returns:
        The serialised model.

    Raises:
        DataError: the text does not carry a vocabulary of that size.
    """
    model = io.BytesIO()
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=_sentences(texts),
            model_writer=model,
            vocab_size=vocab_size,
            num_threads=TRAINING_THREADS,
            minloglevel=2,
            **TRAINING_OPTIONS,
        )
    except RuntimeError as error:
        raise _unreachable(vocab_size, str(error).splitlines()[0].rpartition("] ")[2]) from error
    size = spm.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size()
    if size != vocab_size:
        raise _unreachable(vocab_size, f"it yields {size} pieces")
    return model.getvalue()


def _unreachable(vocab_size: int, reason: str) -> DataError:
    rule = f"cannot be learned from the training documents ({reason})"
    return DataError(f"vocab_size={vocab_size}", rule, "give more text, change model.vocab_size or reuse a tokenizer")


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        clean = text.replace("\0", " ").strip()
        if clean:
            yield from _pieces_of_at_most(clean, SENTENCE_BYTES)


def _pieces_of_at_most(text: str, limit_bytes: int) -> Iterator[str]:
    """The text itself if it fits, else runs of whole words that do; SentencePiece drops a single longer word."""
    if len(text.encode()) <= limit_bytes:
        yield text
        return
    run: list[str] = []
    used = 0
    for word in text.split():
        size = len(word.encode()) + 1
        if run and used + size > limit_bytes:
            yield " ".join(run)
            run, used = [], 0
        run.append(word)
        used += size
    yield " ".join(run)
