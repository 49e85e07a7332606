"""Group 06: seed, windows, generator state, batches, shard checks and the cut of the validation stream; all exact."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recur.data.loader import WindowLoader, order_seed
from recur.data.shards import HEADER_BYTES, open_tokens, read_header, read_stream, write_shard
from recur.errors import DataError
from tests.conformance.base import Array, Case, Context, Vectors, exact

RECORD_FILES = re.compile(r"record_seed_if_(\d+)_files_")
RECORD_PATTERN = "data/datasets/fineweb10B_sp4096/fineweb_train_{:06d}.bin"  # REFERENCE 3
STREAM_CASE = re.compile(r"(\d+) tokens, seq_len (\d+)")
REFUSED = "ValueError"


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All cases of the group."""
    del context
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = _write_shards(root, vectors.info)
        cases = list(_seed_cases(vectors.info))
        for name in vectors.info["cases"]:
            cases += _window_cases(vectors, name, paths)
            cases += _batch_cases(vectors, name, paths)
        cases += _malformed_cases(vectors.info, root)
        cases += _stream_cases(vectors.info, root)
    return cases


def _write_shards(root: Path, info: dict[str, Any]) -> list[Path]:
    paths, first = [], 0
    for number, count in enumerate(info["shard_token_counts"]):
        index = np.arange(first, first + count, dtype=np.uint64)
        tokens = ((index * np.uint64(2654435761)) >> np.uint64(7)) % np.uint64(info["vocab"])
        paths.append(root / f"shard_{number:06d}.bin")
        write_shard(paths[-1], tokens.astype(np.uint16))
        first += count
    return paths


def _loader(info: dict[str, Any], case: dict[str, Any], paths: list[Path], rank: int) -> WindowLoader:
    return WindowLoader(
        paths,
        info["hashed_strings"],
        seq_len=info["seq_len"],
        batch_tokens=info["train_batch_tokens"],
        rank=rank,
        world=case["world_size"],
        accum=case["grad_accum_steps"],
    )


def _seed_cases(info: dict[str, Any]) -> Iterator[Case]:
    yield exact("seed", [order_seed(info["hashed_strings"]) - int(info["seed_uint64"])], [0])
    for key, value in info.items():
        if match := RECORD_FILES.match(key):
            strings = [RECORD_PATTERN.format(i) for i in range(int(match[1]))]
            yield exact(key, [order_seed(strings) - int(value)], [0])


def _window_cases(vectors: Vectors, name: str, paths: list[Path]) -> Iterator[Case]:
    case = vectors.info["cases"][name]
    loader = _loader(vectors.info, case, paths, rank=0)
    initial = vectors.info.get("pcg64_initial_state")
    if initial:
        state = loader.cursor()["rng"]
        yield Case(f"{name} initial state", float([state["state"], state["inc"]] != [initial["state"], initial["inc"]]), 0)
    batches: list[Array] = []
    for built in range(1, case["total_batches_run"] + 1):
        batches.append(loader.next_windows())
        if str(built) in case["rng_state_after_batches"]:
            wrong = loader.cursor()["rng"]["state"] != case["rng_state_after_batches"][str(built)]
            yield Case(f"{name} rng state after {built}", float(wrong), 0)
        if str(built) in case["cursor_resets_after_batches"]:
            yield exact(f"{name} resets after {built}", loader.resets, case["cursor_resets_after_batches"][str(built)])
    windows = np.stack(batches)
    first = vectors.arrays[f"{name}/windows_first"]
    last = vectors.arrays[f"{name}/windows_last10"]
    yield exact(f"{name} first windows", windows[: len(first)], first)
    yield exact(f"{name} last windows", windows[-len(last) :], last)
    digest = hashlib.sha256(windows.astype("<i8").tobytes()).hexdigest()
    yield Case(f"{name} sha256 of all windows", float(digest != case["sha256_all_windows_int64"]), 0)
    distinct = [len(np.unique(b[:, 0])) for b in windows]
    for key, mine in (
        ("windows_per_microbatch", windows.shape[1]),
        ("distinct_shards_first", distinct[0]),
        ("distinct_shards_last", distinct[-1]),
        ("min_distinct_shards", min(distinct)),
        ("max_distinct_shards", max(distinct)),
    ):
        if key in case:
            yield exact(f"{name} {key}", mine, case[key])
    unused = sorted(set(range(len(paths))) - set(np.unique(windows[:, :, 0]).tolist()))
    yield exact(f"{name} unused shards", unused, case["shards_never_used"])


def _batch_cases(vectors: Vectors, name: str, paths: list[Path]) -> Iterator[Case]:
    case = vectors.info["cases"][name]
    for rank, golden in enumerate(case["per_rank_checksums_first5"]):
        loader = _loader(vectors.info, case, paths, rank)
        batches = [loader.next_batch() for _ in golden]
        yield exact(f"{name} rank {rank} checksums", [_checksums(b.x_BT.numpy(), b.y_BT.numpy()) for b in batches], golden)
        if rank == 0:
            x, y = (vectors.arrays[f"{name}/rank0_{part}_first2"] for part in ("x", "y"))
            yield exact(f"{name} rank 0 x", np.stack([b.x_BT.numpy() for b in batches[: len(x)]]), x)
            yield exact(f"{name} rank 0 y", np.stack([b.y_BT.numpy() for b in batches[: len(y)]]), y)


def _checksums(x: Array, y: Array) -> list[int]:
    flat = x.reshape(-1).astype(np.int64)
    return [int(x.sum()), int(y.sum()), int((flat * np.arange(1, flat.size + 1)).sum() % 1000003)]


def _malformed_cases(info: dict[str, Any], root: Path) -> Iterator[Case]:
    path = root / "malformed.bin"
    for key, outcome in info["malformed_shards"].items():
        kind, _, reader = key.partition("/")
        write_shard(path, np.arange(100, dtype=np.uint16))
        raw = bytearray(path.read_bytes())
        if kind == "bad_magic":
            raw[0] ^= 1
        elif kind == "bad_version":
            raw[4] ^= 2
        else:
            raw = raw[:-1] if kind != "short_header" else raw[: HEADER_BYTES // 2]
        path.write_bytes(raw)
        refused = _refuses_header(path) if reader.startswith("header") else _refuses(path)
        yield Case(f"malformed {key}", float(refused != (outcome == REFUSED)), 0)


def _refuses(path: Path) -> bool:
    try:
        open_tokens(path)
    except DataError:
        return True
    return False


def _refuses_header(path: Path) -> bool:
    try:
        read_header(path)
    except DataError:
        return True
    return False


def _stream_cases(info: dict[str, Any], root: Path) -> Iterator[Case]:
    path = root / "stream.bin"
    for key, kept in info["validation_tokens_kept"].items():
        match = STREAM_CASE.fullmatch(key)
        if match is None:
            yield Case(f"validation case not understood: {key}", float("inf"), 0)
            continue
        count, seq_len = int(match[1]), int(match[2])
        write_shard(path, np.arange(count) % info["vocab"])
        try:
            mine: object = read_stream([path], seq_len).size
        except DataError:
            mine = REFUSED
        yield Case(f"validation {key}", float(mine != kept), 0)
