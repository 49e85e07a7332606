"""Training windows in the reference's coprime-stride order: deterministic, shared by all ranks, resumable.

Source: REFERENCE 3, whose step numbers the comments carry. Every rank builds the same global window list from the
same generator and takes every `world`-th element. Deviations: the arguments are fixed at construction (the reference
freezes them at its first call), and shard sizes are checked. The order depends on the hash strings and on (world,
accum), never on the model seed nor, since hash strings are given apart from paths, on where the files lie.

Dims: B rows of this rank, T tokens of a window, N windows of one micro-batch over all ranks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.data.shards import TokensI64, TokensU16, open_tokens
from recur.errors import ArtifactError, DataError

MIX_RAMP_BATCHES = 1800  # REFERENCE 3, micro-batch step 1
FNV_PRIME = 1099511628211  # FNV-1a's 64-bit prime; the reference starts from 0 instead of FNV's offset basis
_KEPT = 12
"""Batches whose memory is used again once they are dropped."""


def _references() -> int:
    """What counting says, in this Python, of an array that only a list and the name that goes through it hold."""
    return next(sys.getrefcount(rows) for rows in [np.empty(0)])


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank: `x_BT` int64 token ids and `y_BT` int64, the token that follows each."""

    x_BT: Tensor  # noqa: N815 - dims in the name (STYLE 8)
    y_BT: Tensor  # noqa: N815


@dataclass(kw_only=True)
class Cursor:
    """Where one shard's walk stands: block k lies at phase + ((start + k*stride) mod blocks) * S."""

    phase: int = 0
    blocks: int = 0
    next: int = 0
    start: int = 0
    stride: int = 1
    ready: bool = False


def order_seed(hash_strings: Sequence[str]) -> int:
    """uint64 seed of the data order, from the shards' path strings in order, without separators."""
    seed = 0
    for text in hash_strings:
        for byte in text.encode():
            seed = ((seed ^ byte) * FNV_PRIME) % 2**64
    return seed


def free_rows(kept: list[TokensI64], count: int, width: int) -> TokensI64:
    """Memory for rows, [count, width]: of an earlier batch that nobody holds any more, or new and kept for later ones.

    New memory costs a page fault for every 4 KiB, more than the copying does.
    """
    unheld = _references()
    for rows in kept:
        if sys.getrefcount(rows) == unheld and rows.shape == (count, width):
            return rows
    kept[:] = [*kept[-_KEPT:], np.empty((count, width), np.int64)]
    return kept[-1]


class WindowLoader:
    """Endless micro-batches over training shards.

    Args:
        paths: shard files in order.
        hash_strings: one per shard; they alone seed the order (`Dataset.train_hash_strings`).
        seq_len: S, tokens of a window.
        batch_tokens: tokens of one optimizer step over all ranks and micro-batches.
        rank, world: this process and how many there are.
        accum: micro-batches per optimizer step.

    Raises:
        DataError: a damaged shard, no shard with one whole window, or a batch smaller than one window per rank.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        hash_strings: Sequence[str],
        *,
        seq_len: int,
        batch_tokens: int,
        rank: int,
        world: int,
        accum: int,
    ) -> None:
        if len(paths) != len(hash_strings):
            raise DataError(f"{len(paths)} shards", f"need as many hash strings, got {len(hash_strings)}", "pair them up")
        per_rank = batch_tokens // (world * accum) // seq_len
        if per_rank < 1:
            rule = f"must hold one window per rank and micro-batch, {seq_len * world * accum} tokens"
            raise DataError(f"batch_tokens={batch_tokens}", rule, f"use at least {seq_len * world * accum}")
        self.seq_len, self.rank, self.world, self.windows = seq_len, rank, world, per_rank * world
        self._tokens: list[TokensU16] = [
            open_tokens(p).view(np.ndarray) for p in paths
        ]  # slices of a memmap cost three times as much
        self._sizes = [int(t.size) for t in self._tokens]
        self._full = {i: n for i, t in enumerate(self._sizes) if (n := (t - 1) // seq_len) > 0}
        if not self._full:
            raise DataError(
                f"{len(paths)} training shards, largest {max(self._sizes, default=0)} tokens",
                f"hold no whole window of train_seq_len+1={seq_len + 1} tokens",
                "give more text or lower model.train_seq_len",
            )
        self.seed = order_seed(hash_strings)
        self._rng = np.random.Generator(np.random.PCG64(self.seed))
        self._cursors = [Cursor() for _ in paths]
        self._eligible = np.fromiter(self._full, np.int64)
        self._weights = np.array([self._full.get(shard, 0) for shard in range(len(paths))], np.float64)
        self._identity = f"seed={self.seed} seq_len={seq_len} batch_tokens={batch_tokens} world={world} accum={accum}"
        self.built = 0
        self.resets = 0
        self._rows: list[TokensI64] = []

    def next_batch(self) -> Batch:
        """This rank's rows of the next micro-batch: two [N/world, S] int64 tensors on the CPU, views of the same memory."""
        mine = self.next_windows()[self.rank :: self.world]
        rows = free_rows(self._rows, len(mine), self.seq_len + 1)
        for row, (shard, start) in zip(rows, mine.tolist(), strict=True):
            row[:] = self._tokens[shard][start : start + self.seq_len + 1]
        wide = torch.from_numpy(rows)
        return Batch(wide[:, :-1], wide[:, 1:])

    def next_windows(self) -> TokensI64:
        """The next micro-batch's global window list, [N, 2] int64 of (shard, first token), the same on all ranks."""
        progress = min(self.built / MIX_RAMP_BATCHES, 1.0)
        shards, counts = self._choose_shards(progress)
        starts = self._take(shards.tolist(), counts.tolist())
        self.built += 1
        order = self._interleave(counts)
        return np.stack([shards.repeat(counts)[order], starts[order]], axis=1)

    def _choose_shards(self, progress: float) -> tuple[TokensI64, TokensI64]:
        """Steps 2-6: which shards feed this micro-batch and with how many windows each."""
        weights = self._weights[self._eligible] ** (0.9 - 0.4 * progress)
        total = weights.sum()
        if not (math.isfinite(total) and total > 0):
            weights, total = np.ones_like(weights), float(len(weights))
        p = weights / total
        mix = self._mix(progress)
        picked = self._rng.choice(len(weights), size=mix, replace=False, p=p)
        counts = np.ones(mix, np.int64)
        if self.windows > mix:
            share = p[picked] / p[picked].sum()
            counts += self._rng.multinomial(self.windows - mix, share)
        order = self._rng.permutation(mix)
        return self._eligible[picked][order], counts[order]

    def _mix(self, progress: float) -> int:
        """Step 3: number of distinct shards, growing over the first 1800 micro-batches (`round` is half to even)."""
        most = min(len(self._full), self.windows)
        low = min(max(8, self.world), most)
        high = min(max(32, 8 * self.world), most)
        return min(max(round(low + progress * (high - low)), 1), most)

    def _take(self, shards: list[int], counts: list[int]) -> TokensI64:
        """Step 7: the next window starts of the chosen shards, permuted in each; a used-up shard walks on in a fresh order.

        Shuffling draws what numpy's `permutation` draws: nothing for a single one. A run is what one walk gives: phase, the
        block that window 0 of the batch would have in it, stride, blocks, and how many.
        """
        runs: list[tuple[int, ...]] = []
        at, numbers = 0, np.arange(self.windows)
        order = numbers.copy()
        for shard, count in zip(shards, counts, strict=True):
            end = at + count
            bucket = order[at:end]
            while at < end:
                cursor = self._cursors[shard]
                if cursor.next >= cursor.blocks:
                    cursor = self._reset(shard)
                take = min(end - at, cursor.blocks - cursor.next)
                runs.append((cursor.phase, cursor.start + (cursor.next - at) * cursor.stride, cursor.stride, cursor.blocks, take))
                cursor.next += take
                at += take
            # step 2: blocks left; an exhausted shard weighs 1 until it is chosen and reset (kept from the reference)
            self._weights[shard] = max(cursor.blocks - cursor.next, 1)
            self._rng.shuffle(bucket)
        table = np.array(runs).T
        phase, first, stride, blocks = table[:4].repeat(table[4], axis=1)
        starts: TokensI64 = phase + (first + numbers * stride) % blocks * self.seq_len
        return starts[order]

    def _reset(self, shard: int) -> Cursor:
        """Draw a new phase, start and stride for one shard, in this order and only when there is a choice."""
        size, s = self._sizes[shard], self.seq_len
        most = min(s - 1, max(0, size - s - 1))
        phase = int(self._rng.integers(0, most + 1)) if most > 0 else 0
        blocks = (size - 1 - phase) // s
        start = int(self._rng.integers(0, blocks)) if blocks > 1 else 0
        cursor = Cursor(phase=phase, blocks=blocks, start=start, stride=self._stride(blocks), ready=True)
        self._cursors[shard] = cursor
        self.resets += 1
        return cursor

    def _stride(self, blocks: int) -> int:
        if blocks <= 1:
            return 1
        while True:
            stride = int(self._rng.integers(1, blocks))
            if math.gcd(stride, blocks) == 1:
                return stride

    def _interleave(self, counts: TokensI64) -> TokensI64:
        """Step 8: rounds over the non-empty buckets in a fresh random order, each giving its last element.

        Args:
            counts: windows of each bucket; the buckets lie one after the other.

        Returns:
            The windows' indices in the order in which they are given.
        """
        active, sizes, ending = list(range(len(counts))), counts.tolist(), np.bincount(counts)
        givers: list[int] = []
        for number, end in enumerate(ending.tolist()):
            if number:  # every bucket has a window, so none ends before the first round
                self._rng.shuffle(active)
                givers += active
                active = [bucket for bucket in active if sizes[bucket] > number] if end else active
        round_of = np.arange(len(ending) - 1).repeat(len(counts) - ending.cumsum()[:-1])
        return (counts.cumsum() - 1)[givers] - round_of

    def cursor(self) -> dict[str, Any]:
        """Everything that the next batches depend on, as JSON-able values (128-bit integers as text)."""
        rng = self._rng.bit_generator.state
        return {
            "identity": self._identity,
            "built": self.built,
            "resets": self.resets,
            "cursors": [[c.phase, c.blocks, c.next, c.start, c.stride, int(c.ready)] for c in self._cursors],
            "rng": {
                "state": str(rng["state"]["state"]),
                "inc": str(rng["state"]["inc"]),
                "has_uint32": int(rng["has_uint32"]),
                "uinteger": int(rng["uinteger"]),
            },
        }

    def go_back_to(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved `cursor()`; the batches that follow are equal to those that followed the save.

        Raises:
            ArtifactError: the state was saved by a loader over other shards or with another batch shape.
        """
        if state["identity"] != self._identity:
            rule = f"must be that of this run ({self._identity})"
            raise ArtifactError(f"loader state of {state['identity']}", rule, "resume with the recipe that saved it")
        rng = state["rng"]
        self._rng.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": int(rng["state"]), "inc": int(rng["inc"])},
            "has_uint32": int(rng["has_uint32"]),
            "uinteger": int(rng["uinteger"]),
        }
        self._cursors = [
            Cursor(phase=p, blocks=b, next=n, start=s, stride=d, ready=bool(r)) for p, b, n, s, d, r in state["cursors"]
        ]
        for shard, full in self._full.items():
            cursor = self._cursors[shard]
            self._weights[shard] = max(cursor.blocks - cursor.next, 1) if cursor.ready else full
        self.built, self.resets = int(state["built"]), int(state["resets"])
