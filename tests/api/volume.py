"""How much of a test of volume runs, and where its measured numbers go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from recur.record.atomic import write_json_atomic

T = TypeVar("T")


def volume(quick: T, long: T) -> T:
    """How often a test repeats itself, or over what: ``RECUR_VOLUME=long`` asks for the full volume."""
    return long if os.environ.get("RECUR_VOLUME") == "long" else quick


def measured(name: str, numbers: dict[str, Any]) -> None:
    """Keep a test's numbers as ``<name>.json`` where ``RECUR_RESULTS`` says; nowhere without it."""
    folder = os.environ.get("RECUR_RESULTS")
    if folder:
        write_json_atomic(Path(folder) / f"{name}.json", numbers)
