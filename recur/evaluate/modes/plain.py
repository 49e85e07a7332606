"""Non-overlapping evaluation: windows side by side, every position with the context since its window's start.

Source: REFERENCE 11.1. Deviation: a batch holds ``val_batch_tokens // seq_len`` windows whatever the number of parts.
"""

from __future__ import annotations

import torch

from recur.config import EvalConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.errors import RecipeError
from recur.evaluate.bpb import Score
from recur.evaluate.intervals import Log, ignore
from recur.evaluate.scoring import Scorer, Watch, score_plan, unwatched
from recur.evaluate.windows import WindowPlan, plain_plan

SHARDABLE = True


def plan(n_positions: int, cfg: EvalConfig) -> WindowPlan:
    """Windows of ``cfg.seq_len`` side by side."""
    return plain_plan(n_positions, cfg.seq_len)


def batch_windows(cfg: EvalConfig) -> int:
    """Windows per forward.

    Raises:
        RecipeError: ``val_batch_tokens`` holds no whole window.
    """
    if cfg.val_batch_tokens < cfg.seq_len:
        raise RecipeError(
            f"evaluate.val_batch_tokens={cfg.val_batch_tokens}",
            f"must hold at least one window of evaluate.seq_len={cfg.seq_len}",
            f"set evaluate.val_batch_tokens={cfg.seq_len} or more",
        )
    return cfg.val_batch_tokens // cfg.seq_len


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
    size = batch_windows(cfg)
    return score_plan(model, tokens, plan, table, batch_windows=size, device=device, autocast=autocast, log=log, watch=watch)
