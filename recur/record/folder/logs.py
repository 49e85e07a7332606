"""A seed's two logs: `train_seed<N>.log` in the published line format, `train_seed<N>.jsonl` with all that its attempt recorded.

Both come from the same files, so what the log rounds the JSONL has in full. The JSONL is progress.jsonl line by line, then
intervals.jsonl, clock.json and the phase records, each as one event (`kind` interval, clock, record).
Deviations from the published form: `recur.record.lines` names them; `eval_time` is missing where a run did not clock a stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from recur.recipe import recipe_to_json
from recur.record import lines
from recur.record.atomic import finite
from recur.record.codec import to_json
from recur.record.folder.figures import Figures, seed_seconds
from recur.record.folder.source import FolderSource, SeedSource
from recur.record.journal import Event, without_redone
from recur.record.result import Phase

_MIB = 1 << 20
_CLOCKED = ("sliding", "ttt")
"""Stages of the evaluation clock; with only one of them in a run its time is the clock's."""


def log_name(seed: int) -> str:
    """`train_seed42.log`."""
    return f"train_seed{seed}.log"


def events_name(seed: int) -> str:
    """`train_seed42.jsonl`."""
    return f"train_seed{seed}.jsonl"


def log_text(source: FolderSource, seed: SeedSource, figures: Figures) -> str:
    """The whole log of one counting seed."""
    recipe: dict[str, Any] = json.loads(recipe_to_json(source.recipe))
    values = {**recipe, "seed": seed.result.seed, "sweep": source.sweep.sweep, "fingerprint": source.sweep.fingerprint}
    out = [lines.HEADER, *lines.hyperparameters(values), *_data_lines(source, seed)]
    steps = source.recipe.train.steps
    out += [line for e in without_redone(seed.events) if (line := lines.event_line(e.kind, e.fields, steps)) is not None]
    out += _model_lines(source, seed, figures)
    return "\n".join(out) + "\n"


def events_text(seed: SeedSource) -> str:
    """The JSONL of one counting seed: what was told, used, clocked and recorded."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in _rows(seed))


def _data_lines(source: FolderSource, seed: SeedSource) -> list[str]:
    weights = next((seed.attempt / p.file for r in seed.records if r.phase is Phase.TRAIN for p in r.payloads[:1]), None)
    count = [f"model_params:{_parameters(weights)}"] if weights and weights.is_file() else []
    cfg = source.recipe.train
    effective_ms = 1000 * (cfg.wallclock_s - cfg.calibration_reserve_s)
    reserve = f"gptq:reserving {cfg.calibration_reserve_s:g}s, effective={effective_ms:.0f}ms"
    return [
        f"train_shards: {len(source.dataset.train)}",
        f"val_tokens: {seed.result.scored_tokens}",
        f"val_bytes: {seed.result.scored_bytes}",
        *count,
        *([reserve] if cfg.wallclock_s else []),
    ]


def _parameters(weights: Path) -> int:
    """Number of trained values, from the header of training's first payload, the weights."""
    total = 0
    with safe_open(weights, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - not a mapping: it has no iterator
            count = 1
            for length in tensors.get_slice(name).get_shape():
                count *= length
            total += count
    return total


def _model_lines(source: FolderSource, seed: SeedSource, figures: Figures) -> list[str]:
    fit = source.recipe.artifact.fit
    label = lines.LABELS.get(fit, fit)
    model_bytes = next(s.model_bytes for s in figures.seeds if s.seed == seed.result.seed)
    peak = seed.summary.get("peak_memory_bytes")
    before = [f"peak memory allocated: {peak / _MIB:.0f} MiB"] if isinstance(peak, int) and peak else []
    scored = {name: _score_line(seed, name, label) for name in seed.scores}
    return [
        *before,
        "ema:applying EMA weights",
        *(line for name, line in scored.items() if name == "trained"),
        *_calibration_lines(seed),
        *lines.size_lines(label, model_bytes, figures.code_bytes),
        *(line for name, line in scored.items() if name != "trained"),
    ]


def _score_line(seed: SeedSource, stage: str, label: str) -> str:
    score = seed.scores[stage]
    on_clock = [name for name in seed.scores if name in _CLOCKED] == [stage]
    eval_s = seed.clock.get("eval_s") if on_clock else None
    return lines.score_line(stage, label, score.val_loss, score.val_bpb, eval_s if isinstance(eval_s, int | float) else None)


def _calibration_lines(seed: SeedSource) -> list[str]:
    matrices, seconds = seed.fields(Phase.CALIBRATE).get("matrices"), seed_seconds(seed, Phase.CALIBRATE)
    out = [] if matrices is None or seconds is None else [f"GPTQ:collected {matrices} Hessians in {seconds:.1f}s"]
    if methods := seed.result.quantized:
        told = ", ".join(f"{count} {name}" for name, count in sorted(methods.items()))
        out.append(f"quantization: {told}")
    return out


def _rows(seed: SeedSource) -> Iterator[object]:
    for event in seed.events:
        yield _row(event)
    for event in seed.intervals:
        yield finite({"at": event.at, "kind": "interval", "of": event.kind, **event.fields})
    if seed.records:
        yield finite({"at": seed.records[-1].at, "kind": "clock", **seed.clock})
    for record in seed.records:
        yield finite({"at": record.at, "kind": "record", **{k: v for k, v in to_json(record).items() if k != "at"}})


def _row(event: Event) -> object:
    return finite({"at": event.at, "kind": event.kind, **event.fields})
