"""Shard files: 256 little-endian int32 header words, then uint16 tokens.

Source: REFERENCE 2.1 (word 0 = magic, word 1 = version, word 2 = token count, the rest 0). Deviation: the reference's
training loader looks at magic and version only; here every reader also holds the size against the header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recur.errors import DataError

MAGIC = 20240520
VERSION = 1
HEADER_WORDS = 256
HEADER_BYTES = 4 * HEADER_WORDS
TOKEN_BYTES = 2
REMEDY = "delete its dataset folder, then fetch or prepare it again"

TokensU16 = npt.NDArray[np.uint16]
TokensI64 = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.integer[Any]]


def write_shard(path: Path, tokens: npt.NDArray[Any]) -> None:
    """Write one shard.

    Args:
        path: the file to make (overwritten).
        tokens: [n] token ids, each in [0, 65535].

    Raises:
        DataError: an id that does not fit in uint16.
    """
    if tokens.size and (int(tokens.min()) < 0 or int(tokens.max()) > np.iinfo(np.uint16).max):
        raise DataError(f"max token id {int(tokens.max())}", "does not fit in uint16", "use a vocabulary of at most 65536")
    header = np.zeros(HEADER_WORDS, "<i4")
    header[:3] = MAGIC, VERSION, tokens.size
    with path.open("wb") as file:
        file.write(header.tobytes())
        file.write(np.ascontiguousarray(tokens, "<u2").tobytes())


def read_header(path: Path) -> int:
    """The token count in a shard's header; magic and version are checked, the size is not.

    Raises:
        DataError: no such file, shorter than a header, wrong magic or wrong version.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(HEADER_BYTES)
    except OSError as error:
        raise DataError(f"shard {path}", f"cannot be read ({error.strerror})", REMEDY) from error
    if len(raw) < HEADER_BYTES:
        raise DataError(f"shard {path} ({len(raw)} bytes)", f"is shorter than its {HEADER_BYTES}-byte header", REMEDY)
    magic, version, count = (int(v) for v in np.frombuffer(raw, "<i4", count=3))
    if magic != MAGIC:
        raise DataError(f"shard {path} magic={magic}", f"must be {MAGIC}", REMEDY)
    if version != VERSION:
        raise DataError(f"shard {path} version={version}", f"must be {VERSION}", REMEDY)
    if count < 0:
        raise DataError(f"shard {path} tokens={count}", "must not be negative", REMEDY)
    return count


def open_tokens(path: Path) -> TokensU16:
    """Map a shard's tokens into memory, read only.

    Returns:
        [n] uint16 (a `np.memmap`; an empty array when n = 0).

    Raises:
        DataError: wrong magic or version, or a size other than 1024 + 2 n bytes.
    """
    count = read_header(path)
    expected, actual = HEADER_BYTES + TOKEN_BYTES * count, path.stat().st_size
    if actual != expected:
        raise DataError(f"shard {path} size={actual} bytes", f"must be {expected} for the {count} tokens it names", REMEDY)
    if count == 0:
        return np.zeros(0, np.uint16)
    return np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,))


def read_stream(paths: list[Path], seq_len: int) -> TokensU16:
    """All shards concatenated, cut to a whole number of windows plus one token (REFERENCE 2.2).

    A single shard stays mapped: all that score on a node share one copy of it.

    Args:
        paths: validation shards in order.
        seq_len: S, tokens of one evaluation window.

    Returns:
        [floor((n-1)/S)*S + 1] uint16.

    Raises:
        DataError: a damaged shard, no shard, or fewer than S + 1 tokens.
    """
    if not paths:
        raise DataError("validation shards=0", "at least one is needed", REMEDY)
    shards = [open_tokens(p).view(np.ndarray) for p in paths]
    stream = shards[0] if len(shards) == 1 else np.concatenate(shards)
    windows = (stream.size - 1) // seq_len
    if windows < 1:
        rule = f"is shorter than one window of evaluate.seq_len+1={seq_len + 1}"
        raise DataError(f"validation text of {stream.size} tokens", rule, "raise data.val_docs or lower evaluate.seq_len")
    return stream[: windows * seq_len + 1]
