"""The resources of the interface: what requests carry and what answers look like (SERVICE contract, `/v1`).

Unknown fields are refused everywhere. Times are ISO 8601 in UTC, sizes bytes, losses nats per token, durations seconds.
"""

from api.models.base import Model, Seed, SweepId
from api.models.catalogue import ProfileLine, ProfileView, RecordLine, RecordSeed
from api.models.compare import ArmView, Comparison, ConfigChange, PolicyView
from api.models.process import Alive, Problem, ProblemPart, Ready, Version
from api.models.queue import Queue, QueueLine, SlotView
from api.models.request import RetryRequest, SweepSubmission
from api.models.sweep import (
    Attempt,
    GateRow,
    Interval,
    Progress,
    Scores,
    SeedView,
    Statistics,
    Sweep,
    SweepLine,
    SweepPage,
    Waiting,
    WelchTest,
)

__all__ = [
    "Alive",
    "ArmView",
    "Attempt",
    "Comparison",
    "ConfigChange",
    "GateRow",
    "Interval",
    "Model",
    "PolicyView",
    "Problem",
    "ProblemPart",
    "ProfileLine",
    "ProfileView",
    "Progress",
    "Queue",
    "QueueLine",
    "Ready",
    "RecordLine",
    "RecordSeed",
    "RetryRequest",
    "Scores",
    "Seed",
    "SeedView",
    "SlotView",
    "Statistics",
    "Sweep",
    "SweepId",
    "SweepLine",
    "SweepPage",
    "SweepSubmission",
    "Version",
    "Waiting",
    "WelchTest",
]
