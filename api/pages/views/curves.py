"""The curves of a sweep as data for the browser: loss, validation loss and tokens/s over steps, one entry a seed.

Read from the attempts' progress.jsonl by `recur.record.journal`. A long run is thinned to `MOST_POINTS` steps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir
from recur.record.journal import Event, read_events

MOST_POINTS = 1500
_log = logging.getLogger(__name__)


def read_progress(root: Path, seed: int, attempt: int) -> list[Event]:
    """What an attempt has told of itself; nothing where it has not begun or its file is damaged (which is logged).

    Args:
        root: the sweep's folder.
        seed: the seed.
        attempt: its number.
    """
    path = AttemptDir(root, seed, attempt).path("progress.jsonl")
    try:
        return read_events(path)
    except (ArtifactError, OSError) as e:
        _log.warning("progress_unreadable path=%s error=%s", path, e)
        return []


def curve(seed: int, attempt: int, events: Sequence[Event]) -> dict[str, Any]:
    """One seed's curves as JSON data: steps with loss (nats per token) and tokens/s, validations, where recurrence began."""
    steps = _thinned([e for e in events if e.kind == "step" and e.number("step") is not None])
    vals = [e for e in events if e.kind == "val" and e.number("step") is not None]
    return {
        "seed": seed,
        "attempt": attempt,
        "step": [e.number("step") for e in steps],
        "loss": [e.number("loss") for e in steps],
        "tokens_per_s": [e.number("tokens_per_s") for e in steps],
        "val_step": [e.number("step") for e in vals],
        "val_loss": [e.number("val_loss") for e in vals],
        "recurrence_step": next((e.number("step") for e in events if e.kind == "recurrence"), None),
    }


def _thinned(events: list[Event]) -> list[Event]:
    """At most `MOST_POINTS` of them, evenly, with the last."""
    if len(events) <= MOST_POINTS:
        return events
    stride = -(-len(events) // (MOST_POINTS - 1))
    kept = events[::stride]
    return kept if kept[-1] is events[-1] else [*kept, events[-1]]
