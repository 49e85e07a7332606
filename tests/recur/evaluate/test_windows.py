from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.errors import DataError, RecipeError
from recur.evaluate.windows import WindowPlan, chunk_count, plain_plan, sliding_plan, ttt_plan, window_chunks


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Stream positions, window length and stride that fit together."""
    seq_len = draw(st.integers(1, 40))
    return draw(st.integers(seq_len, 400)), seq_len, draw(st.integers(1, seq_len))


def slow_times(plan: WindowPlan) -> list[int]:
    times = [0] * plan.n_positions
    for start, length, first in zip(plan.starts, plan.lengths, plan.score_from, strict=True):
        for p in range(start + first, start + length):
            times[p] += 1
    return times


def test_sliding_windows_by_hand() -> None:
    plan = sliding_plan(11, 4, 3)
    assert plan.starts.tolist() == [0, 3, 6, 9]
    assert plan.lengths.tolist() == [4, 4, 4, 2]
    assert plan.score_from.tolist() == [0, 1, 1, 1]
    assert plan.coverage().tolist() == [1] * 11


def test_plain_windows_leave_out_a_tail_shorter_than_a_window() -> None:
    plan = plain_plan(11, 4)
    assert plan.starts.tolist() == [0, 4]
    assert plan.coverage().tolist() == [1] * 8 + [0] * 3


def test_reference_tail_rescores_the_last_positions() -> None:
    plan = ttt_plan(16, 8, 2, tail="reference")
    assert plan.starts.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert plan.coverage().tolist() == [1] * 14 + [4] * 2
    assert plan.coverage().sum() == 16 + (8 - 2)


@given(shapes())
def test_sliding_scores_every_position_exactly_once(shape: tuple[int, int, int]) -> None:
    plan = sliding_plan(*shape)
    assert (plan.coverage() == 1).all()
    assert plan.coverage().tolist() == slow_times(plan)


@given(shapes())
def test_test_time_training_scores_every_position_exactly_once_by_default(shape: tuple[int, int, int]) -> None:
    assert (ttt_plan(*shape, tail="once").coverage() == 1).all()


@given(shapes())
def test_every_sliding_position_has_the_promised_context(shape: tuple[int, int, int]) -> None:
    plan = sliding_plan(*shape)
    assert (plan.score_from[1:] == shape[1] - shape[2]).all()
    assert (plan.lengths <= plan.seq_len).all() and (plan.lengths > plan.score_from).all()


@given(shapes(), st.integers(1, 7))
def test_parts_are_the_plan_cut_in_order(shape: tuple[int, int, int], parts: int) -> None:
    plan = sliding_plan(*shape)
    cut = [plan.part(k, parts) for k in range(parts)]
    assert np.concatenate([c.starts for c in cut]).tolist() == plan.starts.tolist()
    assert sum((c.coverage() for c in cut), np.zeros(plan.n_positions, np.int64)).tolist() == plan.coverage().tolist()


@given(shapes())
def test_plain_covers_all_whole_windows_once(shape: tuple[int, int, int]) -> None:
    n, seq_len, _ = shape
    times = plain_plan(n, seq_len).coverage()
    assert (times[: n // seq_len * seq_len] == 1).all() and not times[n // seq_len * seq_len :].any()


@given(shapes(), st.integers(1, 100), st.sampled_from(["once", "reference"]))
def test_a_window_is_scored_before_its_positions_are_trained_on(
    shape: tuple[int, int, int], chunk_tokens: int, tail: str
) -> None:
    plan = ttt_plan(*shape, tail="reference" if tail == "reference" else "once")
    chunks = window_chunks(plan, chunk_tokens)
    assert (np.diff(chunks) >= 0).all()
    assert chunks.max() < chunk_count(plan.n_positions, chunk_tokens)
    assert (chunks * chunk_tokens <= plan.firsts).all()


def test_one_window_fills_a_stream_of_its_length() -> None:
    for plan in (plain_plan(8, 8), sliding_plan(8, 8, 3), sliding_plan(8, 8, 8), ttt_plan(8, 8, 8, tail="reference")):
        assert len(plan) == 1
        assert plan.coverage().tolist() == [1] * 8


def test_a_stride_of_a_whole_window_gives_the_plain_windows() -> None:
    assert sliding_plan(24, 8, 8).starts.tolist() == plain_plan(24, 8).starts.tolist()
    assert sliding_plan(24, 8, 8).score_from.tolist() == [0, 0, 0]


def test_more_parts_than_windows_leaves_empty_parts() -> None:
    assert [len(plain_plan(8, 4).part(k, 5)) for k in range(5)] == [0, 0, 1, 0, 1]


def test_a_stream_shorter_than_a_window_is_refused() -> None:
    makers: tuple[Callable[[], WindowPlan], ...]
    makers = (lambda: plain_plan(7, 8), lambda: sliding_plan(7, 8, 2), lambda: ttt_plan(7, 8, 2, tail="reference"))
    for make in makers:
        with pytest.raises(DataError, match="shorter than one window"):
            make()


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_outside_the_window_is_refused(stride: int) -> None:
    with pytest.raises(RecipeError, match=r"evaluate\.stride"):
        sliding_plan(20, 8, stride)


def test_a_part_out_of_range_is_refused() -> None:
    with pytest.raises(RecipeError, match="part=3"):
        plain_plan(8, 4).part(3, 3)
