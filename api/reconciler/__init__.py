"""The reconciler: the one loop that submits, watches, takes in and ends seed jobs, and survives being killed anywhere."""

from __future__ import annotations

from api.reconciler.helper import Done, Helper, SubprocessHelper, Task
from api.reconciler.loop import Reconciler
from api.reconciler.values import NO_OBSERVER, Health, Observer, ReconcilerSettings, SlotCount, Tick

__all__ = [
    "NO_OBSERVER",
    "Done",
    "Health",
    "Helper",
    "Observer",
    "Reconciler",
    "ReconcilerSettings",
    "SlotCount",
    "SubprocessHelper",
    "Task",
    "Tick",
]
