"""Training batches: a plain reading of REFERENCE 3 against ours, one thread; and what a prefetching thread leaves to wait for.

143 shards as in the reference run's data, of 2 M tokens each; rank 0 of 8, 384 windows of 2,048 tokens a batch.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import PAIRS, Bar, Outcome, judged, measure, most_runs
from recur.data.loader import WindowLoader
from recur.data.prefetch import Prefetcher
from recur.data.shards import open_tokens, write_shard

SHARDS, SHARD_TOKENS = 143, 2_000_000
SEQ_LEN, BATCH_TOKENS, WORLD = 2048, 786_432, 8
BATCHES = 200
STEP_S, STEPS = 0.020, 40


class ReferenceLoader:
    """REFERENCE 3, steps 1-10, window by window."""

    def __init__(self, paths: list[Path], names: list[str], rank: int) -> None:
        self.tokens = [open_tokens(path) for path in paths]
        self.rank, self.windows = rank, BATCH_TOKENS // SEQ_LEN // WORLD * WORLD
        seed = 0
        for name in names:
            for byte in name.encode():
                seed = ((seed ^ byte) * 1099511628211) & (2**64 - 1)
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.eligible = [i for i, t in enumerate(self.tokens) if (t.size - 1) // SEQ_LEN > 0]
        self.base = {i: (self.tokens[i].size - 1) // SEQ_LEN for i in self.eligible}
        self.phase: dict[int, int] = {}
        self.count: dict[int, int] = {}
        self.next: dict[int, int] = {}
        self.start: dict[int, int] = {}
        self.stride: dict[int, int] = {}
        self.built = 0

    def reset(self, i: int) -> None:
        """A new walk through a shard."""
        size = int(self.tokens[i].size)
        most = min(SEQ_LEN - 1, max(0, size - SEQ_LEN - 1))
        self.phase[i] = int(self.rng.integers(0, most + 1)) if most > 0 else 0
        blocks = self.count[i] = (size - 1 - self.phase[i]) // SEQ_LEN
        self.start[i] = int(self.rng.integers(0, blocks)) if blocks > 1 else 0
        stride = 1
        if blocks > 1:
            stride = int(self.rng.integers(1, blocks))
            while math.gcd(stride, blocks) != 1:
                stride = int(self.rng.integers(1, blocks))
        self.stride[i], self.next[i] = stride, 0

    def take(self, i: int, wanted: int) -> list[tuple[int, int]]:
        """Windows of one shard."""
        out = []
        while wanted > 0:
            if i not in self.next or self.next[i] >= self.count[i]:
                self.reset(i)
            now = min(wanted, self.count[i] - self.next[i])
            for j in range(now):
                block = (self.start[i] + (self.next[i] + j) * self.stride[i]) % self.count[i]
                out.append((i, self.phase[i] + block * SEQ_LEN))
            self.next[i] += now
            wanted -= now
        return out

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """This rank's rows."""
        p = min(self.built / 1800, 1.0)
        weights = np.array(
            [max(self.count[i] - self.next[i], 1) if i in self.next else self.base[i] for i in self.eligible], np.float64
        )
        chances = weights ** (0.9 - 0.4 * p)
        chances = chances / chances.sum()
        low = min(max(8, WORLD), len(self.eligible), self.windows)
        high = min(max(32, 8 * WORLD), len(self.eligible), self.windows)
        mix = max(1, min(round(low + p * (high - low)), len(self.eligible), self.windows))
        chosen = self.rng.choice(len(self.eligible), size=mix, replace=False, p=chances)
        counts = np.ones(mix, np.int64)
        if self.windows > mix:
            share = chances[chosen]
            counts = counts + self.rng.multinomial(self.windows - mix, share / share.sum())
        order = self.rng.permutation(mix)
        buckets = []
        for k in order:
            bucket = self.take(self.eligible[int(chosen[k])], int(counts[k]))
            if len(bucket) > 1:
                bucket = [bucket[int(j)] for j in self.rng.permutation(len(bucket))]
            buckets.append(bucket)
        windows: list[tuple[int, int]] = []
        active = [b for b in buckets if b]
        while active:
            left = []
            for k in self.rng.permutation(len(active)):
                bucket = active[int(k)]
                windows.append(bucket.pop())
                if bucket:
                    left.append(bucket)
            active = left
        self.built += 1
        xs, ys = [], []
        for shard, at in windows[self.rank :: WORLD]:
            row = torch.from_numpy(np.array(self.tokens[shard][at : at + SEQ_LEN + 1], dtype=np.int64))
            xs.append(row[:-1])
            ys.append(row[1:])
        return torch.stack(xs), torch.stack(ys)


def shards(folder: Path) -> tuple[list[Path], list[str]]:
    """Shards of random tokens, and the strings that seed their order."""
    draw = np.random.default_rng(0)
    names = [f"data/datasets/fineweb10B_sp4096/fineweb_train_{i:06d}.bin" for i in range(SHARDS)]
    paths = [folder / Path(name).name for name in names]
    for path in paths:
        write_shard(path, draw.integers(0, 4096, SHARD_TOKENS).astype(np.uint16))
    return paths, names


def loader(paths: list[Path], names: list[str]) -> WindowLoader:
    """Ours, as rank 0."""
    return WindowLoader(paths, names, seq_len=SEQ_LEN, batch_tokens=BATCH_TOKENS, rank=0, world=WORLD, accum=1)


def agreement(paths: list[Path], names: list[str]) -> str:
    """Every token of every batch, off the clock."""
    theirs, ours = ReferenceLoader(paths, names, 0), loader(paths, names)
    for number in range(BATCHES):
        (x, y), batch = theirs.next_batch(), ours.next_batch()
        assert torch.equal(x, batch.x_BT) and torch.equal(y, batch.y_BT), f"batch {number} differs"
    return f"{BATCHES} batches, token for token"


def draw(source: ReferenceLoader | WindowLoader) -> None:
    """The first batches, one after the other."""
    for _ in range(BATCHES):
        source.next_batch()


def blocked_s(source: WindowLoader | Prefetcher, batches: int) -> float:
    """Seconds that the training thread waits for batches when a step takes `STEP_S`."""
    source.next_batch()
    waited = 0.0
    for _ in range(batches):
        time.sleep(STEP_S)
        start = time.perf_counter()
        source.next_batch()
        waited += time.perf_counter() - start
    return waited


def outcomes() -> Iterator[Outcome]:
    """CPU a batch, then waiting."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths, names = shards(Path(folder))
        # opening the shards is no part of a batch: loaders are made off the clock
        theirs = iter([ReferenceLoader(paths, names, 0) for _ in range(most_runs())])
        ours = iter([loader(paths, names) for _ in range(most_runs())])
        yield measure(
            Bar(
                name="loader, CPU of 200 batches",
                reference=lambda: draw(next(theirs)),
                ours=lambda: draw(next(ours)),
                agreement=lambda *_: agreement(paths, names),
                threshold=2.5,
            )
        )
        alone_s, waited_s = [], []
        for _ in range(PAIRS):
            alone_s.append(blocked_s(loader(paths, names), STEPS) / STEPS)
            with ThreadPoolExecutor(1) as thread:
                waited_s.append(blocked_s(Prefetcher(loader(paths, names), thread, pin=False), STEPS) / STEPS)
        alone, waited = statistics.median(alone_s), statistics.median(waited_s)
        yield judged(
            name="loader, training thread blocked with prefetch, 20 ms steps",
            ratio=waited / alone,
            threshold=0.1,
            kind="share",
            agreement="the loader's own batches",
            note=f"{waited * 1e3:.3f} ms a batch against {alone * 1e3:.3f}",
        )
