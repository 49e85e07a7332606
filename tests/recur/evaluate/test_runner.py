import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.config import EvalConfig, TTTConfig
from recur.errors import RecipeError, RecurError
from recur.evaluate.intervals import Interval, join
from recur.evaluate.runner import PartScore, evaluate_part, merge, merge_intervals, part_count
from tests.recur.evaluate.fakes import TinyCausal, byte_table, stream

CPU = torch.device("cpu")
CFG = EvalConfig(seq_len=8, stride=3, batch_windows=4, val_batch_tokens=24, ttt=TTTConfig(chunk_tokens=24, epochs=1))


def parts_of(mode: str, parts: int, positions: int = 83) -> list[PartScore]:
    model, tokens, table = TinyCausal(), stream(positions), byte_table()
    return [evaluate_part(model, tokens, table, CFG, mode, k, parts, device=CPU, precision="fp32") for k in range(parts)]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["plain", "sliding"]), st.integers(1, 5), st.randoms())
def test_the_score_does_not_depend_on_the_number_or_order_of_parts(mode: str, parts: int, rng: random.Random) -> None:
    whole, cut = merge(parts_of(mode, 1)), parts_of(mode, parts)
    in_order = merge(cut)
    rng.shuffle(cut)
    assert merge(cut) == in_order
    assert (in_order.tokens, in_order.bytes) == (whole.tokens, whole.bytes)
    assert in_order.nats == pytest.approx(whole.nats, rel=1e-12)


@pytest.mark.parametrize(("mode", "stop"), [("plain", 80), ("sliding", 83)])
def test_intervals_of_all_parts_join_to_what_was_scored(mode: str, stop: int) -> None:
    parts = parts_of(mode, 3)
    assert [p.intervals[0].start for p in parts[1:]] == [p.intervals[-1].stop for p in parts[:-1]]
    assert merge_intervals(parts[::-1]) == (Interval(kind="score", start=0, stop=stop, version=0),)


def test_test_time_training_is_evaluated_in_one_piece() -> None:
    assert part_count("ttt", 8) == 1
    assert part_count("sliding", 8) == 8
    with pytest.raises(RecipeError, match="parts=2 must be 1"):
        parts_of("ttt", 2)
    (whole,) = parts_of("ttt", 1)
    assert [(i.kind, i.version) for i in whole.intervals] == [
        ("score", 0), ("adapt", 1), ("score", 1), ("adapt", 2), ("score", 2), ("adapt", 3), ("score", 3),
    ]  # fmt: skip
    assert whole.score.tokens == 83


def test_more_parts_than_windows_still_merge() -> None:
    assert merge(parts_of("plain", 5, positions=16)) == merge(parts_of("plain", 1, positions=16))


@pytest.mark.parametrize("pick", [lambda p: p[:2], lambda p: [p[0], p[1], p[1]], lambda p: [], lambda p: [*p, p[0]]])
def test_missing_or_double_parts_are_refused(pick: Callable[[list[PartScore]], list[PartScore]]) -> None:
    with pytest.raises(RecurError, match="not one whole evaluation"):
        merge(pick(parts_of("plain", 3)))


def test_parts_of_different_modes_are_refused() -> None:
    with pytest.raises(RecurError, match="not one whole evaluation"):
        merge([parts_of("plain", 2)[0], parts_of("sliding", 2)[1]])


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="choose one of plain, sliding, ttt"):
        parts_of("backwards", 1)


def test_join_keeps_versions_and_gaps_apart() -> None:
    log = [
        Interval(kind="score", start=0, stop=4, version=0),
        Interval(kind="score", start=4, stop=6, version=0),
        Interval(kind="score", start=6, stop=8, version=1),
        Interval(kind="score", start=9, stop=10, version=1),
    ]
    assert [(i.start, i.stop, i.version) for i in join(log)] == [(0, 6, 0), (6, 8, 1), (9, 10, 1)]


def test_bf16_precision_runs_under_autocast() -> None:
    model, tokens, table = TinyCausal(dtype=torch.float32), stream(83), byte_table()
    exact, rounded = (
        evaluate_part(model, tokens, table, CFG, "sliding", device=CPU, precision=p).score for p in ("fp32", "bf16")
    )
    assert rounded.nats != exact.nats
    assert rounded.nats == pytest.approx(exact.nats, rel=0.05)  # bf16 keeps 8 bits
