"""Window plans as data: which windows the model sees and which of their positions count.

Position ``p`` means predicting token ``p + 1`` from tokens up to ``p``; a stream of ``n`` tokens has ``n - 1`` of them.
A plan depends on the stream's length and the recipe alone, never on batch or world size. Source: REFERENCE 11.1-11.3.
Deviation: `ttt_plan` scores every position once (``tail="once"``) unless the reference's repeated tail is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recur.errors import DataError, RecipeError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowPlan:
    """Windows in scoring order.

    Attributes:
        starts: first position of each window, int64 [windows].
        lengths: real positions in each window (the rest up to ``seq_len`` is padding), int64 [windows].
        score_from: first counted position, relative to the window's start, int64 [windows].
        seq_len: length at which the model runs, tokens.
        n_positions: positions of the whole stream.
    """

    starts: IntArray
    lengths: IntArray
    score_from: IntArray
    seq_len: int
    n_positions: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def firsts(self) -> IntArray:
        """First counted position of each window in the stream, int64 [windows]."""
        return self.starts + self.score_from

    @property
    def stops(self) -> IntArray:
        """One past the last counted position of each window, int64 [windows]."""
        return self.starts + self.lengths

    def take(self, low: int, high: int) -> WindowPlan:
        """The plan of windows ``low`` to ``high`` (exclusive)."""
        return WindowPlan(
            starts=self.starts[low:high],
            lengths=self.lengths[low:high],
            score_from=self.score_from[low:high],
            seq_len=self.seq_len,
            n_positions=self.n_positions,
        )

    def part(self, k: int, parts: int) -> WindowPlan:
        """Contiguous share ``k`` of ``parts``; empty when there are more parts than windows (REFERENCE 11.1)."""
        if not 0 <= k < parts:
            raise RecipeError(f"part={k}", f"must be at least 0 and below parts={parts}", "give another part")
        return self.take(len(self) * k // parts, len(self) * (k + 1) // parts)

    def coverage(self) -> IntArray:
        """How often each position of the stream is counted, int64 [n_positions]."""
        steps = np.zeros(self.n_positions + 1, np.int64)
        np.add.at(steps, self.firsts, 1)
        np.add.at(steps, self.stops, -1)
        return np.cumsum(steps)[:-1]


def _check(n_positions: int, seq_len: int, stride: int) -> None:
    if not 1 <= stride <= seq_len:
        raise RecipeError(
            f"evaluate.stride={stride}",
            f"must be at least 1 and at most evaluate.seq_len={seq_len}",
            f"set evaluate.stride={min(max(stride, 1), seq_len)} or another seq_len",
        )
    if n_positions < seq_len:
        raise DataError(
            f"stream of {n_positions + 1} tokens",
            f"is shorter than one window of evaluate.seq_len={seq_len} tokens plus its last target",
            "give more validation text or a smaller evaluate.seq_len",
        )


def _plan(starts: IntArray, score_from: IntArray, n_positions: int, seq_len: int) -> WindowPlan:
    lengths = np.minimum(starts + seq_len, n_positions) - starts
    return WindowPlan(starts=starts, lengths=lengths, score_from=score_from, seq_len=seq_len, n_positions=n_positions)


def plain_plan(n_positions: int, seq_len: int) -> WindowPlan:
    """Windows side by side, all positions counted; a tail shorter than a window is left out (REFERENCE 11.1).

    Raises:
        DataError: the stream holds no whole window.
    """
    _check(n_positions, seq_len, 1)
    starts = np.arange(n_positions // seq_len, dtype=np.int64) * seq_len
    return _plan(starts, np.zeros_like(starts), n_positions, seq_len)


def sliding_plan(n_positions: int, seq_len: int, stride: int) -> WindowPlan:
    """Overlapping windows, each position counted once with the longest context (REFERENCE 11.2).

    All of window 0 counts, of later windows only what lies beyond the window before; the last may be shorter.

    Raises:
        DataError: the stream holds no whole window.
        RecipeError: the stride is not within 1..seq_len.
    """
    _check(n_positions, seq_len, stride)
    starts = np.arange(0, n_positions - (seq_len - stride), stride, dtype=np.int64)
    return _plan(starts, np.where(starts == 0, 0, seq_len - stride), n_positions, seq_len)


def ttt_plan(n_positions: int, seq_len: int, stride: int, *, tail: Literal["once", "reference"]) -> WindowPlan:
    """Windows of test-time training (REFERENCE 11.3).

    With ``tail="once"`` they are the sliding windows. With ``tail="reference"`` there are also the windows that start
    after ``n_positions - seq_len``; each counts its last ``stride`` positions, so the stream's end counts many times.

    Raises:
        DataError: the stream holds no whole window.
        RecipeError: the stride is not within 1..seq_len.
    """
    if tail == "once":
        return sliding_plan(n_positions, seq_len, stride)
    _check(n_positions, seq_len, stride)
    starts = np.arange(0, n_positions, stride, dtype=np.int64)
    lengths = np.minimum(starts + seq_len, n_positions) - starts
    keep = (lengths >= stride) | (starts == 0)
    starts, lengths = starts[keep], lengths[keep]
    return _plan(starts, np.where(starts == 0, 0, np.maximum(lengths - stride, 0)), n_positions, seq_len)


def chunk_count(n_positions: int, chunk_tokens: int) -> int:
    """Chunks of ``chunk_tokens`` positions, the last one possibly shorter."""
    return -(-n_positions // chunk_tokens)


def window_chunks(plan: WindowPlan, chunk_tokens: int) -> IntArray:
    """Chunk in which each window is scored: that of its first counted position, int64 [windows] (REFERENCE 11.3)."""
    return np.minimum(plan.firsts // chunk_tokens, chunk_count(plan.n_positions, chunk_tokens) - 1)
