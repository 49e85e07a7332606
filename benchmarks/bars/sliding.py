"""Sliding-window evaluation: every row of every window through everything, as the reference, against counted rows only.

REFERENCE 11.2 restated: a batch of windows goes through the whole model, then each window's counted rows are summed. Rows
that do not count skip, in ours, the MLPs after the lanes split, the last block's queries, the head and the loss.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.harness import Bar, Outcome, measure
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.runner import evaluate_part
from recur.evaluate.windows import IntArray
from recur.model.build import build_model
from recur.model.gpt import GPT
from recur.recipe import load_recipe

WIDTH, HEADS, KV_HEADS, VOCAB = 256, 4, 2, 2048
SEQ_LEN, STRIDE, BATCH_WINDOWS, WINDOWS = 256, 8, 8, 17
"""The record's heads of 64, its 8 tokens of vocabulary to a channel, and 1 counted row of 32. The first window counts whole."""
MOST_BPB = 2e-5
PAIRS = 12


def reference(model: GPT, tokens: IntArray, table: ByteTable) -> Score:
    """REFERENCE 11.2; the stream ends with a whole window."""
    starts = list(range(0, len(tokens) - 1 - (SEQ_LEN - STRIDE), STRIDE))
    nats, count, size = 0.0, 0, 0
    with torch.no_grad():
        for low in range(0, len(starts), BATCH_WINDOWS):
            some = starts[low : low + BATCH_WINDOWS]
            x = torch.stack([torch.from_numpy(tokens[s : s + SEQ_LEN]) for s in some])
            y = torch.stack([torch.from_numpy(tokens[s + 1 : s + SEQ_LEN + 1]) for s in some])
            logits = model(x).float()
            losses = F.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1), reduction="none").reshape(y.shape)
            for row, start in enumerate(some):
                first = 0 if start == 0 else SEQ_LEN - STRIDE
                nats += float(losses[row, first:].double().sum())
                count += SEQ_LEN - first
                size += int(table.count(x[row, first:].numpy(), y[row, first:].numpy()).sum())
    return Score(nats=nats, tokens=count, bytes=size)


def agreement(theirs: Score, mine: Score) -> str:
    """The same tokens and bytes, BPB to `MOST_BPB`."""
    assert (theirs.tokens, theirs.bytes) == (mine.tokens, mine.bytes), "other tokens were scored"
    apart = abs(theirs.val_bpb - mine.val_bpb)
    assert apart <= MOST_BPB, f"{apart:.1e} BPB apart"
    return f"{mine.tokens} tokens, {apart:.0e} BPB apart"


def keep_memory() -> None:
    """Let glibc keep what is freed: else both sides spend time, and a varying one, on faulting the same pages in again."""
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_max, 0)


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    keep_memory()
    torch.set_num_threads(1)
    recipe = load_recipe("recur")
    shape = replace(recipe.model, width=WIDTH, embedding_width=WIDTH, heads=HEADS, kv_heads=KV_HEADS, vocab_size=VOCAB)
    model = build_model(replace(shape, train_seq_len=SEQ_LEN), seed=1, precision="fp32").eval()
    model.set_recurrence(True)
    draw = np.random.default_rng(6)
    with torch.no_grad():
        for p in model.parameters():  # fresh projections are zero
            p.add_(torch.from_numpy(draw.normal(0, 0.02, tuple(p.shape)).astype(np.float32)))
    cfg = replace(recipe.evaluate, seq_len=SEQ_LEN, stride=STRIDE, batch_windows=BATCH_WINDOWS, counted_rows_only=True)
    tokens = draw.integers(4, VOCAB, SEQ_LEN + (WINDOWS - 1) * STRIDE + 1)
    flags = np.zeros(VOCAB, np.bool_)
    table = ByteTable(base=draw.integers(1, 6, VOCAB).astype(np.int16), space=flags, boundary=flags)

    def ours() -> Score:
        return evaluate_part(model, tokens, table, cfg, "sliding", device=torch.device("cpu"), precision="fp32").score

    shown = f"width {WIDTH}, 14 virtual layers, window {SEQ_LEN}, stride {STRIDE}"
    yield measure(
        Bar(
            name=f"sliding evaluation, {shown}",
            reference=lambda: reference(model, tokens, table),
            ours=ours,
            agreement=agreement,
            threshold=1.15,
            pairs=PAIRS,
        )
    )
