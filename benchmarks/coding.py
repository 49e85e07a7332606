"""Bytes and speed of the coders on int8 codes: brotli 11, lzma and the range coder, against order-0 entropy.

    python benchmarks/coding.py [--out FILE.json]

Codes are Gaussian with sigma 2.47 steps (the reference run's step), alone or with log-normal spread of rows and columns;
seeds are fixed. Seconds are CPU seconds of one thread, the least of three runs, tables made before.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: the speeds are those of one core

import argparse
import json
import lzma
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import brotli
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from recur.artifact.range_coder import CodeBlock, Geometry, decode_blocks, encode_blocks
from recur.artifact.range_coder.spread import HINTS
from recur.record.environment import cpu_name

SIGMA_STEPS = 2.47
RUNS = 3
SPREADS = {"independent": (0.0, 0.0), "rows .2, columns .3": (0.2, 0.3)}
SHAPES = ((11, 1024, 512), (1, 1024, 512), (11, 256, 64), (1, 256, 256), (1, 64, 64))
COLUMNS = ("order-0", "brotli", "lzma", "ours", "ours/brotli", "enc M/s", "dec M/s")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case: sizes in bytes, speeds in million symbols a second."""

    codes: str
    tensors: str
    order0_bytes: int
    brotli_bytes: int
    lzma_bytes: int
    ours_bytes: int
    ratio: float
    encode_msymbols_per_s: float
    decode_msymbols_per_s: float


def main() -> None:
    """Print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    out: Path | None = parser.parse_args().out
    encode_blocks([block(np.zeros((8, 8), np.int8))])
    print(f"{'codes':22}{'tensors':>14}" + "".join(f"{name:>12}" for name in COLUMNS))
    rows = [measured(name, shape, spread) for name, spread in SPREADS.items() for shape in SHAPES]
    steps = [np.random.default_rng(k).normal(size=(1, 512)) * 6 for k in range(66)]
    rows.append(case("step exponents", "66 x 1x512", [np.rint(s).astype(np.int8) for s in steps]))
    if out is not None:
        out.write_text(json.dumps({"cpu": cpu_name(), "rows": [asdict(r) for r in rows]}, indent=1) + "\n", encoding="utf-8")


def measured(name: str, shape: tuple[int, int, int], spread: tuple[float, float]) -> Row:
    """A case of `SHAPES` with a spread (std of ln sigma) of rows and columns."""
    draw, (count, rows, cols) = np.random.default_rng(0), shape
    matrices = []
    for _ in range(count):
        sigma = SIGMA_STEPS * np.exp(spread[0] * draw.normal(size=(rows, 1)) + spread[1] * draw.normal(size=(1, cols)))
        matrices.append(np.clip(np.rint(sigma * draw.normal(size=(rows, cols))), -128, 127).astype(np.int8))
    return case(name, f"{count} x {rows}x{cols}", matrices)


def case(name: str, tensors: str, matrices: list[NDArray[np.int8]]) -> Row:
    """Measure one section and print its line."""
    blocks = [block(m) for m in matrices]
    data = encode_blocks(blocks)
    geometry = [b.geometry for b in blocks]
    assert all(np.array_equal(a, m) for a, m in zip(decode_blocks(data, geometry), matrices, strict=True))
    raw, symbols = b"".join(m.tobytes() for m in matrices), sum(m.size for m in matrices)
    counts = np.bincount(np.frombuffer(raw, np.uint8))
    counts = counts[counts > 0]
    brotli_bytes = len(brotli.compress(raw, quality=11))
    row = Row(
        codes=name,
        tensors=tensors,
        order0_bytes=round(float((counts * np.log2(symbols / counts)).sum()) / 8),
        brotli_bytes=brotli_bytes,
        lzma_bytes=len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
        ours_bytes=len(data),
        ratio=len(data) / brotli_bytes,
        encode_msymbols_per_s=symbols / 1e6 / least_s(lambda: encode_blocks(blocks)),
        decode_msymbols_per_s=symbols / 1e6 / least_s(lambda: decode_blocks(data, geometry)),
    )
    sizes = (row.order0_bytes, row.brotli_bytes, row.lzma_bytes, row.ours_bytes)
    rates = f"{row.ratio:12.4f}{row.encode_msymbols_per_s:12.1f}{row.decode_msymbols_per_s:12.1f}"
    print(f"{row.codes:22}{row.tensors:>14}" + "".join(f"{size:12}" for size in sizes) + rates, flush=True)
    return row


def block(codes: NDArray[np.int8]) -> CodeBlock:
    """A block of whose spread nothing is known."""
    row_hints, col_hints = (np.zeros((HINTS, n), np.int64) for n in codes.shape)
    return CodeBlock(codes=codes, geometry=Geometry(row_hints=row_hints, col_hints=col_hints))


def least_s(work: Callable[[], object]) -> float:
    """Least CPU seconds of `RUNS` runs."""
    taken = []
    for _ in range(RUNS):
        start_s = time.process_time()
        work()
        taken.append(time.process_time() - start_s)
    return max(min(taken), 1e-6)


if __name__ == "__main__":
    main()
