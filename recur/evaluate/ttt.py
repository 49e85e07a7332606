"""Score-first test-time training: score a chunk of the stream with fixed weights, then train on it, then the next.

Source: REFERENCE 11.3; RULES B1 (chunked, score-first). One process: the reference's average of gradients over ranks is
the same sum over a larger batch. Deviation: the plan decides whether the tail counts once (`windows.ttt_plan`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recur.config import TTTConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.intervals import Interval, Log, ignore
from recur.evaluate.scoring import Scorer, Watch, autocast_bf16, score_plan, training_mode, unwatched
from recur.evaluate.windows import IntArray, WindowPlan, chunk_count, window_chunks


class Trainable(Scorer, Protocol):
    """What test-time training asks of a model beyond scoring."""

    recurrence_active: bool

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean nats, scalar with gradient."""

    def set_recurrence(self, active: bool) -> None: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


@dataclass(frozen=True, kw_only=True)
class TTTStep:
    """One optimizer step: where it was and what it saw. ``grad_norm`` is the global L2 norm before clipping."""

    chunk: int
    epoch: int
    first_sequence: int
    loss_nats: float
    grad_norm: float
    lr: float


@dataclass(frozen=True, kw_only=True)
class ChunkScore:
    """Everything scored up to and including ``chunk``."""

    chunk: int
    score: Score


@dataclass(frozen=True, kw_only=True)
class TTTRun:
    """Result of `adapt`: the score, its growth by chunk, and the training steps."""

    score: Score
    chunks: tuple[ChunkScore, ...]
    steps: tuple[TTTStep, ...]


def chunk_lr(chunk: int, chunks: int, lr: float) -> float:
    """Learning rate after ``chunk`` of ``chunks``: half a cosine from ``lr`` down to 0."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * chunk / max(chunks - 1, 1)))


def is_frozen(name: str, freeze_blocks: int) -> bool:
    """Whether the parameter ``name`` belongs to one of the first ``freeze_blocks`` blocks."""
    return any(f"blocks.{i}." in name for i in range(freeze_blocks))


@contextmanager
def trainable_parameters(model: Trainable, freeze_blocks: int) -> Iterator[list[nn.Parameter]]:
    """The parameters that may move, the others without gradients; afterwards all may, and no gradient is left."""
    named = list(model.named_parameters())
    for name, p in named:
        p.requires_grad_(not is_frozen(name, freeze_blocks))
        p.grad = None
    try:
        yield [p for _, p in named if p.requires_grad]
    finally:
        for _, p in named:
            p.requires_grad_(True)
            p.grad = None


@contextmanager
def restored(model: Trainable) -> Iterator[None]:
    """Weights and recurrence as they were, when the block is left."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recurrence = model.recurrence_active
    try:
        yield
    finally:
        model.set_recurrence(recurrence)
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(before[name])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chunk:
    """Training material of one chunk: ``sequences`` of ``seq_len`` positions from ``start`` on."""

    index: int
    start: int
    sequences: int
    seq_len: int
    lr: float

    @property
    def stop(self) -> int:
        return self.start + self.sequences * self.seq_len

    def batch(self, stream: Tokens, low: int, high: int) -> IntArray:
        """Sequences ``low`` to ``high`` with their last target, int64 [high - low, seq_len + 1]."""
        starts = self.start + np.arange(low, high, dtype=np.int64) * self.seq_len
        positions = starts[:, None] + np.arange(self.seq_len + 1, dtype=np.int64)
        return np.asarray(stream[positions], np.int64)


def _chunk(index: int, plan: WindowPlan, cfg: TTTConfig) -> _Chunk:
    chunks = chunk_count(plan.n_positions, cfg.chunk_tokens)
    start = index * cfg.chunk_tokens
    stop = min(start + cfg.chunk_tokens, plan.n_positions)
    trains = index < chunks - 1 and cfg.epochs > 0
    return _Chunk(
        index=index,
        start=start,
        sequences=(stop - start) // plan.seq_len if trains else 0,
        seq_len=plan.seq_len,
        lr=chunk_lr(index, chunks, cfg.lr),
    )


@dataclass(kw_only=True, eq=False)
class _Trainer:
    """SGD whose momentum lives on over chunks."""

    model: Trainable
    parameters: list[nn.Parameter]
    cfg: TTTConfig
    device: torch.device
    autocast: bool
    steps: list[TTTStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        # a model whose every block is frozen still has its embeddings, so the list is never empty
        self.optimizer = torch.optim.SGD(self.parameters, lr=self.cfg.lr, momentum=self.cfg.momentum)

    def learn(self, chunk: _Chunk, stream: Tokens) -> None:
        """All epochs over the sequences of one chunk, in order."""
        for group in self.optimizer.param_groups:
            group["lr"] = chunk.lr
        with training_mode(self.model, True):
            for epoch in range(self.cfg.epochs):
                for low in range(0, chunk.sequences, self.cfg.batch_seqs):
                    high = min(low + self.cfg.batch_seqs, chunk.sequences)
                    self._step(chunk, epoch, low, torch.from_numpy(chunk.batch(stream, low, high)).to(self.device))

    def _step(self, chunk: _Chunk, epoch: int, low: int, sequences_BS: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast_bf16(self.device, self.autocast):
            loss = self.model.loss(sequences_BS[:, :-1], sequences_BS[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        clip = self.cfg.grad_clip_norm if self.cfg.grad_clip_norm > 0 else math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        self.steps.append(
            TTTStep(
                chunk=chunk.index,
                epoch=epoch,
                first_sequence=low,
                loss_nats=loss.item(),
                grad_norm=norm.item(),
                lr=chunk.lr,
            )
        )


def adapt(
    model: Trainable,
    tokens: Tokens,
    plan: WindowPlan,
    table: ByteTable,
    cfg: TTTConfig,
    *,
    device: torch.device,
    autocast: bool,
    log: Log = ignore,
    watch: Watch = unwatched,
) -> TTTRun:
    """Score ``plan`` chunk by chunk and train ``model`` in place on each chunk after it was scored.

    Recurrence is switched on. A chunk in which no window is scored is passed over; the last chunk is not trained on,
    nor is a remainder shorter than a window.

    Args:
        tokens: the stream, integers [plan.n_positions + 1].
        log: gets a ``score`` interval per scored run (weights version = number of chunks trained on so far) and a
            ``adapt`` interval per chunk trained on (the version it made).
        watch: as in `recur.evaluate.scoring.score_plan`.
    """
    chunk_of_window = window_chunks(plan, cfg.chunk_tokens)
    model.set_recurrence(True)
    score, version, by_chunk = Score(), 0, list[ChunkScore]()
    with trainable_parameters(model, cfg.freeze_blocks) as parameters:
        trainer = _Trainer(model=model, parameters=parameters, cfg=cfg, device=device, autocast=autocast)
        for index in np.unique(chunk_of_window).tolist():
            low, high = np.searchsorted(chunk_of_window, [index, index + 1]).tolist()
            score += score_plan(
                model,
                tokens,
                plan.take(low, high),
                table,
                batch_windows=cfg.batch_seqs,
                device=device,
                autocast=autocast,
                version=version,
                log=log,
                watch=watch,
            )
            by_chunk.append(ChunkScore(chunk=index, score=score))
            chunk = _chunk(index, plan, cfg)
            if chunk.sequences:
                trainer.learn(chunk, tokens)
                version += 1
                log(Interval(kind="adapt", start=chunk.start, stop=chunk.stop, version=version))
    return TTTRun(score=score, chunks=tuple(by_chunk), steps=tuple(trainer.steps))
