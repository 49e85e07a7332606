"""Brotli of quality 11 over codes: one stream, as the reference writes, against chunks side by side on two threads; wall time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import brotli
import numpy as np
import torch

from benchmarks.harness import Bar, Outcome, judged, measure
from recur.artifact.coders.brotli11 import compress, decompress

ROWS, COLUMNS = 8192, 512
CODE_STD, ROW_SPREAD = 2.47, 0.2
"""Spread of int6 codes in steps (from the reference run's 29.6 % of +-1), and of log2-normal rows around it."""
MOST_GROWTH_FRAC = 0.0005


def codes() -> bytes:
    """Gaussian codes, int8."""
    draw = np.random.default_rng(5)
    rows = np.exp(ROW_SPREAD * draw.normal(size=(ROWS, 1)))
    return np.clip(np.rint(CODE_STD * rows * draw.normal(size=(ROWS, COLUMNS))), -127, 127).astype(np.int8).tobytes()


def reference(data: bytes) -> bytes:
    """One stream (REFERENCE 10)."""
    stream: bytes = brotli.compress(data, quality=11)
    return stream


def outcomes() -> Iterator[Outcome]:
    """Time and bytes."""
    torch.set_num_threads(2)
    data = codes()

    def agreement(_: bytes, ours: bytes) -> str:
        assert decompress(ours, len(data)) == data, "the codes do not come back"
        return f"{len(data):,} codes come back"

    bar = Bar(
        name=f"brotli-11 of {ROWS * COLUMNS / 1e6:.1f} M codes in chunks, wall, 2 cores",
        reference=lambda: reference(data),
        ours=lambda: compress(data),
        agreement=agreement,
        threshold=1.7,
        pairs=2,
        clock=time.perf_counter,
    )
    yield measure(bar)
    one, chunks = len(reference(data)), len(compress(data))
    yield judged(
        name="brotli-11 in chunks, growth of the bytes",
        ratio=chunks / one - 1,
        threshold=MOST_GROWTH_FRAC,
        kind="share",
        agreement=f"{chunks:,} against {one:,} bytes",
    )
