"""Scoring a window plan: forward at full length, negative log likelihoods of the counted positions, their bytes.

Every mode scores through here. Source: REFERENCE 11 (right padding with token 0, forward always at length S, so that
the rotary scaling is that of S), 2.4 (bytes by input token and target). Losses leave the model in float32, sums are
float64. Legend: B windows of a batch, S window length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.intervals import Log, ignore, scored_intervals
from recur.evaluate.windows import IntArray, WindowPlan


class Scorer(Protocol):
    """What an evaluation asks of a model."""

    training: bool

    def train(self, mode: bool = True) -> Any: ...

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        """Nats of each target from position ``first`` on, float32 [B, T - first]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredBatch:
    """Counted positions of some windows, in window order.

    Attributes:
        positions: int64 [counted], positions of the stream.
        rows, columns: int64 [counted], where in the batch that the model was given each of them lay.
        nats: float64 [counted], negative log likelihood of the token after each position.
    """

    positions: IntArray
    rows: IntArray
    columns: IntArray
    nats: npt.NDArray[np.float64]

    def score(self, tokens: Tokens, table: ByteTable) -> Score:
        """Sums over the batch; the previous token of a target is the input token at its position."""
        size_bytes = table.count(tokens[self.positions], tokens[self.positions + 1])
        return Score(nats=float(self.nats.sum()), tokens=len(self.nats), bytes=int(np.asarray(size_bytes, np.int64).sum()))


Watch = Callable[[ScoredBatch], None]
"""Shown the very numbers that are summed, batch by batch, in the order in which they were made."""


def unwatched(_: ScoredBatch) -> None:
    """Nobody looks."""


@contextmanager
def training_mode(model: Scorer, mode: bool) -> Iterator[None]:
    """The model in training (True) or evaluation mode (False), its former mode afterwards."""
    before = model.training
    model.train(mode)
    try:
        yield
    finally:
        model.train(before)


def autocast_bf16(device: torch.device, enabled: bool) -> torch.autocast:
    """bf16 autocast on ``device``, or none."""
    return torch.autocast(device_type=device.type, dtype=torch.bfloat16, enabled=enabled)


def score_windows(
    model: Scorer, tokens: Tokens, plan: WindowPlan, *, device: torch.device, autocast: bool, counted_only: bool = False
) -> ScoredBatch:
    """Run all windows of ``plan`` as one batch, in the model's present mode and without gradients.

    Args:
        counted_only: ask the model for nothing in front of the first column that counts in any of the windows.
    """
    first = int(plan.score_from.min()) if counted_only else 0
    columns = np.arange(plan.seq_len, dtype=np.int64)
    positions_BS = plan.starts[:, None] + columns
    real_BS = columns < plan.lengths[:, None]
    inside_BS = np.where(real_BS, positions_BS, 0)
    ids_BS = torch.from_numpy(np.where(real_BS, tokens[inside_BS], 0).astype(np.int64)).to(device)
    targets_BS = torch.from_numpy(np.where(real_BS, tokens[inside_BS + 1], 0).astype(np.int64)).to(device)
    # no_grad, not inference_mode: rotary tables cached here must stay usable in a later backward
    with torch.no_grad(), autocast_bf16(device, autocast):
        nats_BS = np.pad(model.score(ids_BS, targets_BS, first).cpu().numpy(), ((0, 0), (first, 0)))
    counted_BS = real_BS & (columns >= plan.score_from[:, None])
    rows, cols = np.nonzero(counted_BS)
    return ScoredBatch(positions=positions_BS[counted_BS], rows=rows, columns=cols, nats=nats_BS[counted_BS].astype(np.float64))


def score_plan(
    model: Scorer,
    tokens: Tokens,
    plan: WindowPlan,
    table: ByteTable,
    *,
    batch_windows: int,
    device: torch.device,
    autocast: bool,
    counted_only: bool = False,
    version: int = 0,
    log: Log = ignore,
    watch: Watch = unwatched,
) -> Score:
    """Score of a plan with one fixed set of weights, in evaluation mode.

    Args:
        tokens: the stream, integers [plan.n_positions + 1].
        batch_windows: windows per forward; changes no more than rounding.
        counted_only: as for `score_windows`; changes no more than rounding.
        version: version of the weights, for the log.
        log: gets what was scored, batch by batch, after it was scored.
        watch: shown every batch whose nats go into the sum, right after its forward; it must change nothing.
    """
    score = Score()
    with training_mode(model, False):
        low = 0
        while low < len(plan):
            # all of the first window counts: alone, it does not have its neighbours' rows computed too
            alone = counted_only and low == 0 and int(plan.score_from[0]) < int(plan.score_from[-1])
            some = plan.take(low, low + (1 if alone else batch_windows))
            low += len(some)
            batch = score_windows(model, tokens, some, device=device, autocast=autocast, counted_only=counted_only)
            watch(batch)
            score += batch.score(tokens, table)
            for interval in scored_intervals(some, version):
                log(interval)
    return score


def position_nats(
    model: Scorer,
    tokens: Tokens,
    plan: WindowPlan,
    *,
    batch_windows: int,
    device: torch.device,
    autocast: bool,
) -> npt.NDArray[np.float64]:
    """Nats of each position of the stream, float64 [plan.n_positions]; NaN where the plan counts nothing."""
    nats = np.full(plan.n_positions, np.nan)
    with training_mode(model, False):
        for low in range(0, len(plan), batch_windows):
            some = score_windows(model, tokens, plan.take(low, low + batch_windows), device=device, autocast=autocast)
            nats[some.positions] = some.nats
    return nats
