"""What runs, what waits and why."""

from __future__ import annotations

from datetime import datetime

from api.models import examples
from api.models.base import Model
from api.models.examples import shown
from api.models.sweep import Waiting


class QueueLine(Model):
    """A seed in the queue."""

    sweep: str
    name: str
    seed: int
    attempt: int
    pool: str
    queued_at: datetime
    waiting: Waiting


class SlotView(Model):
    """Slots of one pool: how many (None: not known), how many are held and by which jobs, and where the number is from."""

    pool: str
    slots: int | None
    held: int
    holders: list[str]
    source: str


class Queue(Model):
    """What runs, what waits and why."""

    model_config = shown(examples.QUEUE)
    slots: list[SlotView]
    waiting: list[QueueLine]
    total_waiting: int
    degraded: str | None = None
