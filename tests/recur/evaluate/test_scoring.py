import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import EvalConfig
from recur.data.tokenizer import ByteTable
from recur.errors import RecipeError
from recur.evaluate.modes import plain, sliding
from recur.evaluate.runner import evaluate_part
from recur.evaluate.scoring import position_nats, score_plan
from recur.evaluate.windows import WindowPlan, plain_plan, sliding_plan
from recur.model.build import build_model
from tests.recipes import tiny_recipe
from tests.recur.evaluate.fakes import VOCAB, TinyCausal, byte_table, stream

CPU = torch.device("cpu")


def oracle(model: TinyCausal, tokens: np.ndarray, plan: WindowPlan) -> list[tuple[int, float]]:
    """Each counted position from its own explicit window, one at a time, in plan order, unpadded, float64."""
    found = []
    for start, length, first in zip(plan.starts, plan.lengths, plan.score_from, strict=True):
        for p in range(start + first, start + length):
            with torch.no_grad():
                logits = model.logits(torch.from_numpy(tokens[None, start : p + 1]))[0, -1]
            found.append((int(p), float(torch.logsumexp(logits, 0) - logits[tokens[p + 1]])))
    return found


def slow_bytes(tokens: np.ndarray, table: ByteTable, positions: list[int]) -> int:
    return sum(
        int(table.base[tokens[p + 1]]) + int(table.space[tokens[p + 1]] and not table.boundary[tokens[p]]) for p in positions
    )


def test_uniform_model_costs_log_vocabulary_per_token_and_bytes_follow_the_table() -> None:
    model = TinyCausal()
    torch.nn.init.zeros_(model.head)
    table = ByteTable(
        base=np.array([0, 1, 3], np.int16),
        space=np.array([False, False, True]),
        boundary=np.array([True, False, False]),
    )
    tokens = np.array([0, 2, 2, 1, 0])  # 3 (no space after the boundary) + 4 + 1 + 0 bytes
    score = score_plan(model, tokens, plain_plan(4, 2), table, batch_windows=1, device=CPU, autocast=False)
    assert (score.tokens, score.bytes) == (4, 8)
    assert score.nats == pytest.approx(4 * math.log(VOCAB), rel=1e-12)


@pytest.mark.parametrize(("positions", "seq_len", "stride"), [(23, 8, 3), (16, 8, 8), (9, 9, 1), (30, 7, 2), (5, 1, 1)])
def test_sliding_nats_equal_the_explicit_window_of_each_position(positions: int, seq_len: int, stride: int) -> None:
    model, tokens = TinyCausal(), stream(positions)
    plan = sliding_plan(positions, seq_len, stride)
    mine = position_nats(model, tokens, plan, batch_windows=3, device=CPU, autocast=False)
    expected = oracle(model, tokens, plan)
    assert [p for p, _ in expected] == list(range(positions))
    np.testing.assert_allclose(mine, [nats for _, nats in expected], rtol=1e-12)


def test_score_sums_the_oracle() -> None:
    model, tokens, table = TinyCausal(), stream(41), byte_table()
    plan = sliding_plan(41, 8, 3)
    score = score_plan(model, tokens, plan, table, batch_windows=4, device=CPU, autocast=False)
    expected = oracle(model, tokens, plan)
    assert score.nats == pytest.approx(math.fsum(nats for _, nats in expected), rel=1e-12)
    assert score.tokens == 41
    assert score.bytes == slow_bytes(tokens, table, [p for p, _ in expected])


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 60), st.integers(1, 8), st.integers(1, 9))
def test_the_score_does_not_depend_on_the_batch_size(positions: int, stride: int, batch: int) -> None:
    model, tokens, table = TinyCausal(), stream(positions), byte_table()
    plan = sliding_plan(positions, 8, stride)
    one = score_plan(model, tokens, plan, table, batch_windows=1, device=CPU, autocast=False)
    many = score_plan(model, tokens, plan, table, batch_windows=batch, device=CPU, autocast=False)
    assert (one.tokens, one.bytes) == (many.tokens, many.bytes)
    assert many.nats == pytest.approx(one.nats, rel=1e-12)


def test_first_sliding_window_equals_the_first_plain_window() -> None:
    model, tokens = TinyCausal(), stream(32)
    first = [
        position_nats(model, tokens, p, batch_windows=2, device=CPU, autocast=False)[:8]
        for p in (plain_plan(32, 8), sliding_plan(32, 8, 2))
    ]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-12)


def test_the_forward_runs_at_full_length_even_for_a_short_last_window() -> None:
    model = TinyCausal()
    position_nats(model, stream(11), sliding_plan(11, 4, 3), batch_windows=3, device=CPU, autocast=False)
    assert model.seen == [(3, 4), (1, 4)]


def test_a_context_of_one_token_scores_every_position_from_that_token_alone() -> None:
    model, tokens = TinyCausal(), stream(9)
    cfg = EvalConfig(seq_len=1, stride=1, val_batch_tokens=4)
    nats = position_nats(model, tokens, plain.plan(9, cfg), batch_windows=4, device=CPU, autocast=False)
    with torch.no_grad():
        alone = [float(model.score(torch.tensor([[a]]), torch.tensor([[b]]))) for a, b in pairwise(tokens)]
    np.testing.assert_allclose(nats, alone, rtol=1e-12)
    score = plain.evaluate(model, tokens, plain.plan(9, cfg), byte_table(), cfg, device=CPU, autocast=False)
    assert score.nats == pytest.approx(math.fsum(alone), rel=1e-12)


def test_evaluation_leaves_the_model_in_its_mode_and_without_gradients() -> None:
    model = TinyCausal().train()
    cfg = EvalConfig(seq_len=4, stride=2, val_batch_tokens=8)
    for mode in (plain, sliding):
        mode.evaluate(model, stream(12), mode.plan(12, cfg), byte_table(), cfg, device=CPU, autocast=False)
        assert model.training
        assert all(p.grad is None for p in model.parameters())


def test_autocast_gives_finite_losses_close_to_float32() -> None:
    model, tokens = TinyCausal(dtype=torch.float32), stream(64)
    plan = sliding_plan(64, 8, 4)
    exact, rounded = (
        score_plan(model, tokens, plan, byte_table(), batch_windows=4, device=CPU, autocast=on) for on in (False, True)
    )
    assert rounded.nats != exact.nats
    assert rounded.nats == pytest.approx(exact.nats, rel=0.05)  # bf16 keeps 8 bits


def test_a_plain_batch_below_one_window_is_refused() -> None:
    cfg = EvalConfig(seq_len=8, stride=8, val_batch_tokens=7)
    with pytest.raises(RecipeError, match=r"evaluate\.val_batch_tokens=7 must hold at least one window"):
        plain.evaluate(TinyCausal(), stream(8), plain.plan(8, cfg), byte_table(), cfg, device=CPU, autocast=False)


def test_an_empty_part_scores_nothing() -> None:
    empty = plain_plan(8, 4).part(0, 5)
    score = score_plan(TinyCausal(), stream(8), empty, byte_table(), batch_windows=2, device=CPU, autocast=False)
    assert (score.nats, score.tokens, score.bytes) == (0.0, 0, 0)


@pytest.mark.parametrize("parts", [1, 3])
def test_counted_rows_only_changes_no_score(parts: int) -> None:
    recipe = tiny_recipe("model.vocab_size=8", "evaluate.seq_len=32", "evaluate.stride=4", "evaluate.batch_windows=5")
    model = build_model(recipe.model, seed=2, precision="fp32")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    tokens = stream(203, vocab=8)
    table = byte_table(8)
    for part in range(parts):
        whole, counted = (
            evaluate_part(
                model,
                tokens,
                table,
                replace(recipe.evaluate, counted_rows_only=only),
                "sliding",
                part,
                parts,
                device=CPU,
                precision="fp32",
            )
            for only in (False, True)
        )
        assert (whole.score.tokens, whole.score.bytes) == (counted.score.tokens, counted.score.bytes)
        assert whole.intervals == counted.intervals
        assert counted.score.val_bpb == pytest.approx(whole.score.val_bpb, abs=2e-6)


def test_only_the_window_that_counts_whole_is_run_whole() -> None:
    ran: list[tuple[int, int]] = []

    class Noted(TinyCausal):
        def score(self, ids_BT: torch.Tensor, targets_BT: torch.Tensor, first: int = 0) -> torch.Tensor:
            ran.append((len(ids_BT), first))
            return super().score(ids_BT, targets_BT)[:, first:]

    model, tokens, plan = Noted(), stream(38), sliding_plan(38, 8, 3)
    for part, expected in enumerate(([(1, 0), (4, 5)], [(4, 5), (2, 5)])):
        ran.clear()
        some = plan.part(part, 2)
        score_plan(model, tokens, some, byte_table(), batch_windows=4, device=CPU, autocast=False, counted_only=True)
        assert ran == expected
    ran.clear()
    score_plan(model, tokens, plain_plan(32, 8), byte_table(), batch_windows=3, device=CPU, autocast=False, counted_only=True)
    assert ran == [(3, 0), (1, 0)]
