"""A heartbeat, which a job writes as it likes, as the few checked values that the store keeps and pages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recur.record.result import Phase

_NUMBERS = ("step", "steps", "done", "total", "loss", "tokens_per_s", "val_bpb", "val_loss", "at")


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Phase (None: not said) and numbers of a heartbeat; ``mfu`` is a share of the recipe's stated peak."""

    phase: str | None
    progress: dict[str, float | int | str]


def progress_of(fields: Mapping[str, Any], recipe: Mapping[str, Any]) -> Beat:
    """What of a heartbeat is kept: known names with finite numbers.

    Args:
        fields: heartbeat.json.
        recipe: as JSON data; ``train.peak_tflops`` is the peak.
    """
    kept: dict[str, float | int | str] = {name: fields[name] for name in _NUMBERS if _is_number(fields.get(name))}
    phase = str(fields.get("phase"))[:20]
    known = phase if phase in set(Phase) else None
    speed, peak = fields.get("flops_per_s"), float(recipe["train"]["peak_tflops"]) * 1e12
    if _is_number(speed) and peak > 0:
        kept["mfu"] = float(str(speed)) / peak
    if known is not None:
        kept["phase"] = known
    return Beat(phase=known, progress=kept)


def _is_number(value: object) -> bool:
    """A finite number of a sensible size; comparing leaves out what is not a number, and no conversion can overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
