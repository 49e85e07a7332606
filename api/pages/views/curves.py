"""The curves of a sweep as data for the browser: loss, validation loss and tokens/s over steps, one entry a seed.

Read from the attempts' progress.jsonl by `recur.record.journal`. A long run is thinned, so that the browser gets a picture's
worth of points however many seeds there are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir
from recur.record.journal import Event, read_events, without_redone

MOST_POINTS, LEAST_EACH, MOST_EACH = 9000, 150, 1500
"""Steps of a whole sweep, and the bounds of one seed."""
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
        return without_redone(read_events(path))
    except (ArtifactError, OSError) as e:
        _log.warning("progress_unreadable path=%s error=%s", path, e)
        return []


def points_each(seeds: int) -> int:
    """How many steps of each of so many seeds are shown."""
    return min(max(MOST_POINTS // max(seeds, 1), LEAST_EACH), MOST_EACH)


def curve(seed: int, attempt: int, events: Sequence[Event], *, most: int = MOST_EACH) -> dict[str, Any]:
    """One seed's curves as JSON data: steps with loss (nats per token) and tokens/s, validations, where recurrence began.

    Args:
        seed, attempt: whose.
        events: what the attempt has told.
        most: at most that many steps.
    """
    steps = _thinned([e for e in events if e.kind == "step" and e.number("step") is not None], most)
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


def _thinned(events: list[Event], most: int) -> list[Event]:
    """At most so many of them, evenly, with the last."""
    if len(events) <= most:
        return events
    stride = -(-len(events) // (most - 1))
    kept = events[::stride]
    return kept if kept[-1] is events[-1] else [*kept, events[-1]]
