"""The lines of a run's log, in the form that the challenge's published logs have, so that one parser reads them all.

Pure functions from numbers to text; the one-file script prints them as it runs, the record folder writes them from a
seed's records. Source: the train logs of openai/parameter-golf PR #1334 and #1421. Deviations: hyperparameters carry the
recipe's dotted names; a run that ends at its last step says ``stopping:`` where theirs says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER = "Hyperparameters:"
LABELS = {"prune": "int6+brotli", "solve": "grid+range"}
"""What the log calls an artifact, by the recipe's `artifact.fit`."""
STAGES = {"trained": "pre-quantization post-ema", "roundtrip": "roundtrip", "sliding": "sliding_window", "ttt": "ttt"}
"""What the log calls a stage of the evaluation."""


def hyperparameters(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One indented line a value, in alphabetical order; inner mappings with dotted names. `HEADER` stands above them."""
    lines: list[str] = []
    for name, value in sorted(values.items()):
        inner = isinstance(value, Mapping)
        lines += hyperparameters(value, f"{prefix}{name}.") if inner else [f"  {prefix}{name}: {value}"]
    return lines


def event_line(kind: str, fields: Mapping[str, Any], steps: int) -> str | None:
    """The line of one event of training; None for events that the log does not show.

    Args:
        kind: as `recur.train.loop.Observer` gets it: warmup, val, step, recurrence, stop and others.
        fields: its numbers.
        steps: `train.steps` of the recipe.
    """
    if kind == "warmup":
        return f"warmup_step: {fields['steps']}/{fields['steps']}"
    if kind == "recurrence":
        layers = ", ".join(fields["virtual_layers"].split(","))
        return f"recurrence:activated at step {fields['step']}, virtual_layers=[{layers}]"
    if kind == "stop":
        why = "stopping_early: wallclock_cap" if fields["reason"] == "wallclock" else "stopping: last_step"
        return f"{why} train_time: {1000 * fields['train_s']:.0f}ms step: {fields['step']}/{steps}"
    if kind == "val":
        return f"{fields['step']}/{steps} val_loss: {fields['val_loss']:.4f} val_bpb: {fields['val_bpb']:.4f}"
    if kind == "step":
        rate = f"train_time: {fields['train_s'] / 60:.1f}m tok/s: {fields['tokens_per_s']:.0f}"
        return f"{fields['step']}/{steps} train_loss: {fields['loss']:.4f} {rate}"
    return None


def score_line(stage: str, label: str, val_loss: float, val_bpb: float, eval_s: float | None) -> str:
    """The score of one stage.

    Args:
        stage: a key of `STAGES`; any other name stands for itself.
        label: one of `LABELS`.
        val_loss: nats per token.
        val_bpb: bits per byte.
        eval_s: how long it took, seconds; None where it was not clocked, then the line ends without it.
    """
    name = STAGES.get(stage, stage)
    name = name if stage == "trained" else f"final_{label.split('+')[0]}_{name}"
    took = "" if eval_s is None else f" eval_time:{1000 * eval_s:.0f}ms"
    return f"{name} val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}{took}"


def size_lines(label: str, model_bytes: int, code_bytes: int) -> list[str]:
    """Bytes of code, artifact (``label``: one of `LABELS`) and both."""
    return [
        f"Code size: {code_bytes} bytes",
        f"Serialized model {label}: {model_bytes} bytes",
        f"Total submission size {label}: {model_bytes + code_bytes} bytes",
    ]
