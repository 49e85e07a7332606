"""Sliding-window evaluation: every position once, with at least ``seq_len - stride`` tokens of context.

Source: REFERENCE 11.2.
"""

from __future__ import annotations

import torch

from recur.config import EvalConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.intervals import Log, ignore
from recur.evaluate.scoring import Scorer, Watch, score_plan, unwatched
from recur.evaluate.windows import WindowPlan, sliding_plan

SHARDABLE = True


def plan(n_positions: int, cfg: EvalConfig) -> WindowPlan:
    """Windows of ``cfg.seq_len`` every ``cfg.stride`` positions."""
    return sliding_plan(n_positions, cfg.seq_len, cfg.stride)


def evaluate(
    model: Scorer,
    tokens: Tokens,
    plan: WindowPlan,
    table: ByteTable,
    cfg: EvalConfig,
    *,
    device: torch.device,
    autocast: bool,
    log: Log = ignore,
    watch: Watch = unwatched,
) -> Score:
    """Score of the plan's windows; see `recur.evaluate.scoring.score_plan`."""
    return score_plan(
        model,
        tokens,
        plan,
        table,
        batch_windows=cfg.batch_windows,
        device=device,
        autocast=autocast,
        counted_only=cfg.counted_rows_only,
        log=log,
        watch=watch,
    )
