import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import EvalConfig, TTTConfig
from recur.evaluate.intervals import Interval
from recur.evaluate.modes import sliding, ttt
from recur.evaluate.ttt import TTTRun, adapt, chunk_lr, is_frozen
from recur.evaluate.windows import ttt_plan
from tests.recur.evaluate.fakes import TinyCausal, byte_table, stream

CPU = torch.device("cpu")
TTT = TTTConfig(lr=0.1, epochs=2, chunk_tokens=24, momentum=0.9, batch_seqs=2, grad_clip_norm=1.0)
CFG = EvalConfig(seq_len=8, stride=4, batch_windows=3, val_batch_tokens=16, ttt=TTT)


def run(model: TinyCausal, positions: int, cfg: EvalConfig, log: list[Interval] | None = None) -> TTTRun:
    seen: list[Interval] = [] if log is None else log
    plan = ttt.plan(positions, cfg)
    return adapt(model, stream(positions), plan, byte_table(), cfg.ttt, device=CPU, autocast=False, log=seen.append)


def slow_adapt(model: TinyCausal, tokens: np.ndarray, cfg: EvalConfig) -> float:
    """The same procedure with explicit windows, hand-written SGD and clipping, float64."""
    n, s, t = len(tokens) - 1, cfg.seq_len, cfg.ttt
    parameters = list(model.parameters())
    buffers = [torch.zeros_like(p) for p in parameters]
    chunks, nats = math.ceil(n / t.chunk_tokens), 0.0
    plan = ttt.plan(n, cfg)
    for c in range(chunks):
        for start, length, first in zip(plan.starts, plan.lengths, plan.score_from, strict=True):
            if min((start + first) // t.chunk_tokens, chunks - 1) != c:
                continue
            with torch.no_grad():
                x, y = tokens[start : start + length], tokens[start + 1 : start + length + 1]
                nats += float(model.score(torch.tensor(x)[None], torch.tensor(y)[None])[0, first:].sum())
        if c == chunks - 1:
            continue
        lr = t.lr * 0.5 * (1 + math.cos(math.pi * c / (chunks - 1)))
        starts = range(c * t.chunk_tokens, min((c + 1) * t.chunk_tokens, n) - s + 1, s)
        for _ in range(t.epochs):
            for k in range(0, len(starts), t.batch_seqs):
                rows = torch.tensor(np.stack([tokens[i : i + s + 1] for i in starts[k : k + t.batch_seqs]]))
                grads = torch.autograd.grad(model.loss(rows[:, :-1], rows[:, 1:]), parameters)
                norm = math.sqrt(sum(float((g**2).sum()) for g in grads))
                scale = min(1.0, t.grad_clip_norm / (norm + 1e-6))
                with torch.no_grad():
                    for p, g, b in zip(parameters, grads, buffers, strict=True):
                        b.mul_(t.momentum).add_(scale * g)
                        p.sub_(lr * b)
    return nats


def test_learning_rate_by_hand() -> None:
    assert [chunk_lr(c, 3, 0.2) for c in range(3)] == pytest.approx([0.2, 0.1, 0.0], abs=1e-12)
    assert chunk_lr(0, 1, 0.2) == 0.2


def test_frozen_blocks_are_named_by_their_whole_index() -> None:
    assert is_frozen("blocks.1.attn.c_q.weight", 2)
    assert not is_frozen("blocks.10.attn.c_q.weight", 2)
    assert not is_frozen("tok_emb.weight", 2)


@pytest.mark.parametrize("tail", ["once", "reference"])
def test_score_and_weights_equal_a_hand_written_loop(tail: str) -> None:
    cfg = replace(CFG, ttt=replace(TTT, tail="reference" if tail == "reference" else "once"))
    fast, slow = TinyCausal(), TinyCausal()
    result = run(fast, 85, cfg)
    assert result.score.nats == pytest.approx(slow_adapt(slow, stream(85), cfg), rel=1e-10)
    for a, b in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_training_lowers_the_loss_of_a_stream_that_repeats_itself() -> None:
    tokens = np.tile([3, 5, 7, 1, 2, 8, 4, 6], 24)
    plan, table = ttt_plan(len(tokens) - 1, 8, 4, tail="once"), byte_table()
    scores = [
        adapt(TinyCausal(), tokens, plan, table, replace(TTT, epochs=e), device=CPU, autocast=False).score.val_loss
        for e in (0, 3)
    ]
    assert scores[1] < 0.9 * scores[0]


def test_zero_epochs_score_like_the_sliding_windows() -> None:
    model, tokens, cfg = TinyCausal(), stream(61), replace(CFG, ttt=replace(TTT, epochs=0))
    a = ttt.evaluate(model, tokens, ttt.plan(61, cfg), byte_table(), cfg, device=CPU, autocast=False)
    b = sliding.evaluate(model, tokens, sliding.plan(61, cfg), byte_table(), cfg, device=CPU, autocast=False)
    assert (a.tokens, a.bytes) == (b.tokens, b.bytes)
    assert a.nats == pytest.approx(b.nats, rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(8, 120), st.integers(1, 8), st.integers(1, 50), st.integers(1, 3))
def test_the_log_shows_every_position_scored_once_and_before_it_is_trained_on(
    positions: int, stride: int, chunk_tokens: int, batch_seqs: int
) -> None:
    cfg = replace(CFG, stride=stride, ttt=replace(TTT, epochs=1, chunk_tokens=chunk_tokens, batch_seqs=batch_seqs))
    log: list[Interval] = []
    run(TinyCausal(), positions, cfg, log)
    times, version = np.zeros(positions, np.int64), 0
    for interval in log:
        if interval.kind == "score":
            assert interval.version == version
            times[interval.start : interval.stop] += 1
        else:
            version += 1
            assert interval.version == version
            assert (times[interval.start : interval.stop] == 1).all()
    assert (times == 1).all()


def test_a_score_uses_no_weights_made_from_its_own_or_later_tokens() -> None:
    tokens, changed = stream(95), stream(95)
    changed[60:] = (changed[60:] + 1) % 13
    scores = [adapt(TinyCausal(), t, ttt.plan(95, CFG), byte_table(), TTT, device=CPU, autocast=False) for t in (tokens, changed)]
    # chunks 0 and 1 score targets up to token 48 only, so their sums cannot know of tokens 60 and later
    assert [c.score.nats for c in scores[0].chunks[:2]] == [c.score.nats for c in scores[1].chunks[:2]]
    assert scores[0].score.nats != scores[1].score.nats


def test_evaluation_leaves_weights_and_recurrence_as_they_were() -> None:
    model = TinyCausal()
    before = copy.deepcopy(model.state_dict())
    ttt.evaluate(model, stream(61), ttt.plan(61, CFG), byte_table(), CFG, device=CPU, autocast=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.recurrence_active


def test_recurrence_is_on_while_adapting() -> None:
    model = TinyCausal()
    run(model, 61, CFG)
    assert model.recurrence_active


def test_frozen_blocks_stay_and_are_trainable_again_afterwards() -> None:
    model = TinyCausal()
    before = copy.deepcopy(model.state_dict())
    run(model, 61, replace(CFG, ttt=replace(TTT, freeze_blocks=1)))
    after = model.state_dict()
    assert torch.equal(after["blocks.0.weight"], before["blocks.0.weight"])
    assert not torch.equal(after["blocks.1.weight"], before["blocks.1.weight"])
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_stream_of_one_chunk_is_scored_and_never_trained_on() -> None:
    result = run(TinyCausal(), 20, CFG)
    assert result.steps == ()
    assert result.score.tokens == 20


def test_a_clip_norm_of_zero_means_no_clipping() -> None:
    free = run(TinyCausal(), 61, replace(CFG, ttt=replace(TTT, grad_clip_norm=0.0)))
    wide = run(TinyCausal(), 61, replace(CFG, ttt=replace(TTT, grad_clip_norm=1e9)))
    assert free.score.nats == pytest.approx(wide.score.nats, rel=1e-12)
