"""Running a mode in parts, on any machines in any order, and merging the parts into one score.

The scored set is the plan's; parts are contiguous shares of it, so the result does not depend on how many there are
beyond the last bits of float64 (`merge` adds exactly rounded, by part index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from recur.components import component
from recur.config import EvalConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.errors import RecipeError, RecurError
from recur.evaluate.bpb import Score, total
from recur.evaluate.intervals import Interval, join
from recur.evaluate.scoring import Scorer, Watch, unwatched

MODES = "recur.evaluate.modes"


@dataclass(frozen=True, kw_only=True)
class PartScore:
    """Share ``part`` of ``parts`` of one mode's evaluation, with what it scored and trained on."""

    mode: str
    part: int
    parts: int
    score: Score
    intervals: tuple[Interval, ...]


def part_count(mode: str, wanted: int) -> int:
    """How many parts ``mode`` may be cut into: ``wanted``, or 1 when it must run in one piece."""
    return wanted if component(MODES, mode).SHARDABLE else 1


def evaluate_part(
    model: Scorer,
    tokens: Tokens,
    table: ByteTable,
    cfg: EvalConfig,
    mode: str,
    part: int = 0,
    parts: int = 1,
    *,
    device: torch.device,
    precision: Literal["bf16", "fp32"],
    watch: Watch = unwatched,
) -> PartScore:
    """Evaluate one contiguous share of a mode's windows.

    Args:
        model: left as it was (its mode and weights too).
        tokens: the whole validation stream, integers [n_positions + 1]; every part gets the same one.
        part, parts: which share; modes that cannot be cut take only ``0, 1`` (see `part_count`).
        precision: ``bf16`` runs the forward under bf16 autocast, on any device.
        watch: shown every batch of scores that counts, see `recur.evaluate.scoring.score_plan`.

    Raises:
        RecipeError: unknown mode, a part out of range, a batch or stride that does not fit, or more parts than the
            mode allows.
        DataError: the stream holds no whole window.
    """
    chosen = component(MODES, mode)
    if parts > 1 and not chosen.SHARDABLE:
        raise RecipeError(f"parts={parts}", f"must be 1 for evaluation mode {mode!r}", "evaluate it in one piece")
    plan = chosen.plan(len(tokens) - 1, cfg).part(part, parts)
    intervals: list[Interval] = []
    score = chosen.evaluate(
        model,
        tokens,
        plan,
        table,
        cfg,
        device=device,
        autocast=precision == "bf16",
        log=intervals.append,
        watch=watch,
    )
    return PartScore(mode=mode, part=part, parts=parts, score=score, intervals=join(intervals))


def _in_order(parts: Sequence[PartScore]) -> list[PartScore]:
    """The parts by index. Raises RecurError unless they are each part of one evaluation exactly once."""
    ordered = sorted(parts, key=lambda p: p.part)
    whole = ordered[0].parts if ordered else 1
    same = {(p.mode, p.parts) for p in ordered}
    if [p.part for p in ordered] != list(range(whole)) or len(same) != 1:
        seen = [(p.mode, p.part, p.parts) for p in ordered]
        raise RecurError(f"parts {seen} are not one whole evaluation: each part of one mode is needed exactly once")
    return ordered


def merge(parts: Sequence[PartScore]) -> Score:
    """Score of a whole evaluation from all its parts, given in any order.

    Raises:
        RecurError: a part is missing, double, or of another evaluation.
    """
    return total(p.score for p in _in_order(parts))


def merge_intervals(parts: Sequence[PartScore]) -> tuple[Interval, ...]:
    """The interval log of a whole evaluation, in part order, neighbours joined; errors as `merge`."""
    return join(interval for p in _in_order(parts) for interval in p.intervals)
