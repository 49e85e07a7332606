"""How much of a test of volume runs, and where its measured numbers go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from recur.record.atomic import write_json_atomic

T = TypeVar("T")


def volume(quick: T, long: T, *, gate: T | None = None) -> T:
    """How often a test repeats itself, or over what.

    Args:
        quick: by itself.
        long: where ``RECUR_VOLUME=long`` asks for the full volume.
        gate: where ``RECUR_VOLUME=gate`` asks for as little as shows that the test works; None: as quick.
    """
    asked = os.environ.get("RECUR_VOLUME")
    if asked == "gate" and gate is not None:
        return gate
    return long if asked == "long" else quick


def measured(name: str, numbers: dict[str, Any]) -> None:
    """Keep a test's numbers as ``<name>.json`` where ``RECUR_RESULTS`` says; nowhere without it."""
    folder = os.environ.get("RECUR_RESULTS")
    if folder:
        write_json_atomic(Path(folder) / f"{name}.json", numbers)
