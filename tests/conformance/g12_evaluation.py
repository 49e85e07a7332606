"""Group 12: non-overlapping, sliding and score-first TTT evaluation of one model on real token streams.

Tolerances are the group's recommended ones; training-step losses share the TTT loss tolerance, gradient norms the
relative one of the TTT parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from recur.config import EvalConfig
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.modes import plain, sliding, ttt
from recur.evaluate.runner import evaluate_part, merge
from recur.evaluate.scoring import position_nats
from recur.evaluate.ttt import TTTRun, adapt
from recur.evaluate.windows import WindowPlan, chunk_count, window_chunks
from recur.model.gpt import GPT
from tests.conformance.base import Array, Case, Context, Vectors, exact, rel_l2, within
from tests.conformance.configs import eval_config_from_golden, model_config_from_golden

SUM_REL, TTT_SUM_REL = 1e-6, 2e-5
LOSS_ABS, TTT_LOSS_ABS = 1e-5, 1e-4
NLL_ABS, PARAM_REL = 2e-4, 1e-4
MODE_OF = {"nonoverlapping": "plain", "sliding": "sliding"}
DEVICE = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """One token stream of the group with its golden results and arrays."""

    name: str
    tokens: Array
    results: Mapping[str, Any]
    arrays: Mapping[str, Array]
    vectors: Vectors
    cfg: EvalConfig
    table: ByteTable

    @property
    def positions(self) -> int:
        return len(self.tokens) - 1

    def model(self) -> GPT:
        """A fresh model with the group's parameters."""
        model = GPT(model_config_from_golden(self.vectors.info["config"]))
        model.load_state_dict({k: torch.from_numpy(v) for k, v in self.vectors.below("param/").items()}, strict=True)
        model.set_recurrence(bool(self.vectors.info["recurrence_active"]))
        return model


def _streams(vectors: Vectors) -> Iterator[Stream]:
    raw = vectors.arrays["tokens_raw"].astype(np.int64)
    info = vectors.info
    cfg = replace(eval_config_from_golden(info["config"]), batch_windows=info.get("sliding_batch_seqs", 32))
    table = ByteTable(
        base=vectors.arrays["base_bytes"],
        space=vectors.arrays["leading_space"],
        boundary=vectors.arrays["boundary"],
    )
    for name, results in info["results"].items():
        tokens = raw[: info["truncated_length"]] if name == "truncated" else raw
        below = vectors.below(f"{name}/")
        yield Stream(name=name, tokens=tokens, results=results, arrays=below, vectors=vectors, cfg=cfg, table=table)


def _score_cases(name: str, mine: Score, golden: Mapping[str, Any], *, ttt_bounds: bool = False) -> list[Case]:
    sum_rel, loss_abs = (TTT_SUM_REL, TTT_LOSS_ABS) if ttt_bounds else (SUM_REL, LOSS_ABS)
    return [
        within(f"{name} loss_sum", mine.nats, golden["loss_sum"], relative_to_max=sum_rel),
        exact(f"{name} token_count", mine.tokens, golden["token_count"]),
        exact(f"{name} byte_count", mine.bytes, golden["byte_count"]),
        within(f"{name} val_loss", mine.val_loss, golden["val_loss"], absolute=loss_abs),
        within(f"{name} val_bpb", mine.val_bpb, golden["val_bpb"], absolute=loss_abs),
    ]


def _fixed_weight_cases(stream: Stream) -> list[Case]:
    """Whole and partial sums of the modes that do not train, and that the parts merge to the whole."""
    cases: list[Case] = []
    model = stream.model()
    for key, golden in stream.results.items():
        match = re.fullmatch(r"(nonoverlapping|sliding)(?:_world(\d+)_partial)?", key)
        if not match:
            continue
        mode, world = MODE_OF[match[1]], int(match[2] or 1)
        parts = [
            evaluate_part(model, stream.tokens, stream.table, stream.cfg, mode, rank, world, device=DEVICE, precision="fp32")
            for rank in range(world)
        ]
        expected = golden if match[2] else [{**golden, "rank": 0}]
        for one in expected:
            cases += _score_cases(f"{stream.name} {key}[{one['rank']}]", parts[one["rank"]].score, one)
        if match[2] and match[1] in stream.results:
            cases += _score_cases(f"{stream.name} {key} merged", merge(parts[::-1]), stream.results[match[1]])
    return cases


def _window_cases(stream: Stream) -> list[Case]:
    cases: list[Case] = []
    plans = {"sliding": sliding.plan(stream.positions, stream.cfg), "ttt": ttt.plan(stream.positions, stream.cfg)}
    for mode, plan in plans.items():
        if f"{mode}_windows" in stream.arrays:
            cases.append(exact(f"{stream.name} {mode}_windows", plan.starts, stream.arrays[f"{mode}_windows"]))
        if f"{mode}_times_scored" in stream.arrays:
            golden = stream.arrays[f"{mode}_times_scored"]
            cases.append(exact(f"{stream.name} {mode}_times_scored", plan.coverage(), golden))
    if "ttt_window_chunk" in stream.arrays:
        chunks = window_chunks(plans["ttt"], stream.cfg.ttt.chunk_tokens)
        cases.append(exact(f"{stream.name} ttt_window_chunk", chunks, stream.arrays["ttt_window_chunk"]))
    return cases


def _nll_cases(stream: Stream) -> list[Case]:
    if "sliding_nll_by_position" not in stream.arrays:
        return []
    plan = sliding.plan(stream.positions, stream.cfg)
    size = stream.cfg.batch_windows
    mine = position_nats(stream.model(), stream.tokens, plan, batch_windows=size, device=DEVICE, autocast=False)
    golden = stream.arrays["sliding_nll_by_position"]
    return [within(f"{stream.name} sliding_nll_by_position", mine, golden, absolute=NLL_ABS)]


def _mode_counts(prefix: str, plan: WindowPlan) -> dict[str, int]:
    times = plan.coverage()
    return {
        f"{prefix}_windows": len(plan),
        f"{prefix}_scored": int(times.sum()),
        f"{prefix}_positions_never_scored": int((times == 0).sum()),
        f"{prefix}_positions_scored_twice": int((times > 1).sum()),
        f"{prefix}_positions_scored_more_than_once": int((times > 1).sum()),
        f"{prefix}_max_times_scored": int(times.max()),
        f"{prefix}_extra_scorings": int(np.maximum(times - 1, 0).sum()),
    }


def _coverage_cases(stream: Stream) -> list[Case]:
    n, cfg = stream.positions, stream.cfg
    plain_counts = _mode_counts("nonoverlapping", plain.plan(n, cfg))
    mine = {
        "total_targets": n,
        **plain_counts,
        "nonoverlapping_dropped_tail": plain_counts["nonoverlapping_positions_never_scored"],
        **_mode_counts("sliding", sliding.plan(n, cfg)),
        **_mode_counts("ttt", ttt.plan(n, cfg)),
        "ttt_chunks": chunk_count(n, cfg.ttt.chunk_tokens),
    }
    golden = stream.results.get("coverage", {})
    return [exact(f"{stream.name} coverage {key}", mine[key], golden[key]) for key in golden if key in mine]


def _ttt(stream: Stream, model: GPT, cfg: EvalConfig) -> TTTRun:
    plan = ttt.plan(stream.positions, cfg)
    return adapt(model, stream.tokens, plan, stream.table, cfg.ttt, device=DEVICE, autocast=False)


def _step_cases(stream: Stream, run: TTTRun, golden: Mapping[str, Any]) -> list[Case]:
    rows = np.asarray(golden["rows"], np.float64)
    where = np.array([[s.chunk, s.epoch, s.first_sequence] for s in run.steps], np.float64).reshape(-1, 3)
    seen = np.array([[s.loss_nats, s.grad_norm, s.lr] for s in run.steps], np.float64).reshape(-1, 3)
    name = f"{stream.name} ttt steps"
    if seen.shape != rows[:, 3:].shape:
        return [exact(f"{name} count", len(seen), len(rows))]
    return [
        exact(f"{name} order", where, rows[:, :3]),
        within(f"{name} loss", seen[:, 0], rows[:, 3], absolute=TTT_LOSS_ABS),
        within(f"{name} grad norm", seen[:, 1], rows[:, 4], relative_to_max=PARAM_REL),
        within(f"{name} lr", seen[:, 2], rows[:, 5], relative_to_max=1e-12),
    ]


def _final_parameter_cases(stream: Stream, model: GPT, golden: Mapping[str, Any]) -> list[Case]:
    final = {name: p.detach().numpy() for name, p in model.named_parameters()}
    first = stream.vectors.below("param/")
    cases = [
        rel_l2(f"{stream.name} ttt_final/{name}", final[name], value, PARAM_REL)
        for name, value in stream.arrays.items()
        if name.startswith("ttt_final/")
        for name in [name.removeprefix("ttt_final/")]
    ]
    lengths = golden.get("final_param_l2", {})
    for name, length in lengths.items():
        bound = PARAM_REL * length
        mine = float(np.linalg.norm(final[name].astype(np.float64)))
        cases.append(within(f"{stream.name} final_param_l2 {name}", mine, length, absolute=bound))
        if name in golden.get("final_param_delta_l2", {}):
            moved = float(np.linalg.norm(final[name].astype(np.float64) - first[name]))
            expected = golden["final_param_delta_l2"][name]
            cases.append(within(f"{stream.name} final_param_delta_l2 {name}", moved, expected, absolute=bound))
    return cases


def _ttt_cases(stream: Stream) -> list[Case]:
    cases: list[Case] = []
    if "ttt" in stream.results:
        golden, model = stream.results["ttt"], stream.model()
        run = _ttt(stream, model, stream.cfg)
        cases += _score_cases(f"{stream.name} ttt", run.score, golden, ttt_bounds=True)
        if "cumulative_after_scoring_chunk" in golden:
            for row, mine in zip(golden["cumulative_after_scoring_chunk"]["rows"], run.chunks, strict=True):
                name = f"{stream.name} ttt chunk {row[0]}"
                cases.append(exact(f"{name} counts", [mine.chunk, mine.score.tokens, mine.score.bytes], [row[0], *row[2:]]))
                cases.append(within(f"{name} loss_sum", mine.score.nats, row[1], relative_to_max=TTT_SUM_REL))
        if "training_steps" in golden:
            cases += _step_cases(stream, run, golden["training_steps"])
        cases += _final_parameter_cases(stream, model, golden)
    if "ttt_epochs0" in stream.results:
        still = replace(stream.cfg, ttt=replace(stream.cfg.ttt, epochs=0))
        run = _ttt(stream, stream.model(), still)
        cases += _score_cases(f"{stream.name} ttt_epochs0", run.score, stream.results["ttt_epochs0"])
    return cases


def check(vectors: Vectors, context: Context) -> list[Case]:
    """Every case of the group; needs neither tokenizers nor documents."""
    cases: list[Case] = []
    for stream in _streams(vectors):
        for part in (_fixed_weight_cases, _window_cases, _nll_cases, _coverage_cases, _ttt_cases):
            cases += part(stream)
    return cases
