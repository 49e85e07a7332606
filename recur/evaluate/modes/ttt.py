"""Score-first test-time training as an evaluation mode; the caller's model is put back as it was.

Source: REFERENCE 11.3; the work is in `recur.evaluate.ttt`. It is not shardable: each chunk needs the weights that the
chunks before it made.
"""

from __future__ import annotations

import torch

from recur.config import EvalConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.intervals import Log, ignore
from recur.evaluate.scoring import Watch, unwatched
from recur.evaluate.ttt import Trainable, adapt, restored
from recur.evaluate.windows import WindowPlan, ttt_plan

SHARDABLE = False


def plan(n_positions: int, cfg: EvalConfig) -> WindowPlan:
    """Sliding windows; with ``cfg.ttt.tail == "reference"`` also the short ones at the stream's end."""
    return ttt_plan(n_positions, cfg.seq_len, cfg.stride, tail=cfg.ttt.tail)


def evaluate(
    model: Trainable,
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
    """Score of the plan's windows while the model learns from what was scored; afterwards it has forgotten it."""
    with restored(model):
        return adapt(model, tokens, plan, table, cfg.ttt, device=device, autocast=autocast, log=log, watch=watch).score
