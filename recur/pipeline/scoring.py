"""Evaluation and verification as independent items: one item is one share of one window plan of one model.

An item is small; whoever runs it reads the weights from their file (the artifact is always read from its file) and
keeps the last model, so that the next share on the same process or actor does not load it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from recur.components import component
from recur.config import Recipe
from recur.data.dataset import Dataset, load_dataset, validation_tokens
from recur.evaluate.artifact import load_model
from recur.evaluate.bpb import Score
from recur.evaluate.compiled import CompiledScorer
from recur.evaluate.intervals import Interval
from recur.evaluate.runner import MODES, PartScore, evaluate_part, merge, merge_intervals, part_count
from recur.evaluate.scoring import Scorer
from recur.evaluate.windows import WindowPlan
from recur.model.backend import choose_backend, use_backend
from recur.model.gpt import GPT
from recur.pipeline.backend import default_device
from recur.pipeline.trained import trained_model
from recur.record.atomic import sha256_of
from recur.train.checkpoint import SUMMARY_FILE

ARTIFACT_FILE = "artifact.ptz"
PROBE_WINDOWS = 64
"""Fixed windows that `verify` scores again, evenly spread over the plain plan."""

Source = Literal["trained", "artifact"]


@dataclass(frozen=True, kw_only=True)
class EvalItem:
    """One share of one stage.

    Attributes:
        stage: what the score is reported as: trained, roundtrip, sliding, ttt, probe.
        mode: the evaluation mode (a component of `recur.evaluate.modes`).
        source: the EMA weights of the checkpoint, or the artifact.
        folder: the attempt's folder.
        recurrence: whether the recurrent layers run twice, as they did when training ended.
    """

    stage: str
    mode: str
    source: Source
    folder: Path
    dataset_root: Path
    recipe: Recipe
    recurrence: bool
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, kw_only=True)
class StageScore:
    """Score of a whole stage and what it covered, in order."""

    score: Score
    intervals: tuple[Interval, ...]


def shares(whole: EvalItem) -> list[EvalItem]:
    """The item cut into ``cluster.eval_shards`` shares where its mode can be cut, else itself alone."""
    parts = part_count(whole.mode, whole.recipe.cluster.eval_shards)
    return [replace(whole, part=part, parts=parts) for part in range(parts)]


def score_item(item: EvalItem) -> PartScore:
    """Evaluate one share."""
    device = default_device()
    dataset, recipe = dataset_of(item.dataset_root), item.recipe
    return evaluate_part(
        scorer_of(item, device),
        validation_tokens(dataset, recipe.evaluate.seq_len),
        dataset.byte_table(),
        recipe.evaluate,
        item.mode,
        item.part,
        item.parts,
        device=device,
        precision=recipe.train.precision,
    )


def score_probe(item: EvalItem) -> Score:
    """Score the fixed windows of the artifact, read from its file now."""
    device = default_device()
    dataset, recipe = dataset_of(item.dataset_root), item.recipe
    tokens = validation_tokens(dataset, recipe.evaluate.seq_len)
    plain = component(MODES, "plain")
    plan = _probe_plan(plain.plan(len(tokens) - 1, recipe.evaluate))
    model, autocast = _build(item, device), recipe.train.precision == "bf16"
    score: Score = plain.evaluate(model, tokens, plan, dataset.byte_table(), recipe.evaluate, device=device, autocast=autocast)
    return score


def merge_stage(parts: Sequence[PartScore]) -> StageScore:
    """The whole stage from all its shares."""
    return StageScore(score=merge(parts), intervals=merge_intervals(parts))


def _probe_plan(plan: WindowPlan) -> WindowPlan:
    chosen = np.unique(np.linspace(0, len(plan) - 1, PROBE_WINDOWS).astype(np.int64))
    return WindowPlan(
        starts=plan.starts[chosen],
        lengths=plan.lengths[chosen],
        score_from=plan.score_from[chosen],
        seq_len=plan.seq_len,
        n_positions=plan.n_positions,
    )


@lru_cache(maxsize=1)
def dataset_of(root: Path) -> Dataset:
    """The dataset; the last one of this process is kept."""
    return load_dataset(root)


def _model(item: EvalItem, device: torch.device) -> GPT:
    """The item's model; the last one of this process is kept, identified by the hash of its file."""
    file = item.folder / (ARTIFACT_FILE if item.source == "artifact" else SUMMARY_FILE)
    key = f"{item.source} {sha256_of(file)} {device}"
    if key not in _kept:
        _kept.clear()
        _kept[key] = _build(item, device)
    return _kept[key]


_kept: dict[str, GPT] = {}


def scorer_of(item: EvalItem, device: torch.device) -> Scorer:
    """The model, on CUDA with a compiled forward as the recipe says; a mode that trains takes its own, uncompiled."""
    compiles = device.type == "cuda" and item.recipe.train.compile
    if not compiles:
        return _model(item, device)
    if part_count(item.mode, 2) == 1:
        return _build(item, device)
    model = _model(item, device)
    if id(model) not in _compiled:
        _compiled.clear()
        _compiled[id(model)] = CompiledScorer(model)
    return _compiled[id(model)]


_compiled: dict[int, CompiledScorer] = {}


def _build(item: EvalItem, device: torch.device) -> GPT:
    """A fresh model with the weights from their file, recurrence as at the end of training."""
    recipe = item.recipe
    if item.source == "trained":
        return trained_model(item.folder, recipe, device, recurrence=item.recurrence)
    use_backend(choose_backend(recipe.train.attention, device, recipe.train.precision))
    return load_model(item.folder / ARTIFACT_FILE, recipe, device, recurrence=item.recurrence)
