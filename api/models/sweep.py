"""A sweep, whole and as a line of a list."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from api.models import examples
from api.models.base import Model
from api.models.examples import shown


class Scores(Model):
    """One number a stage of the model."""

    last_step: float | None = None
    trained: float | None = None
    roundtrip: float | None = None
    sliding: float | None = None


class GateRow(Model):
    """One rule of the challenge, judged: verdict is pass, fail or n/a."""

    name: str
    value: JsonValue = None
    limit: JsonValue = None
    verdict: str
    why: str = ""
    source: str = ""


class Progress(Model):
    """Latest sign of life of a running seed."""

    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    at: datetime | None = None


class Attempt(Model):
    """One attempt in a seed's history."""

    model_config = shown(examples.ATTEMPT)
    attempt: int
    state: str
    job_id: str
    reason: str | None = None
    warning: str | None = None
    queued_at: datetime
    admitted_at: datetime | None = None
    submitted_at: datetime | None = None
    running_at: datetime | None = None
    ended_at: datetime | None = None


class Waiting(Model):
    """Why a queued seed has not started: its place (1 is next), what is missing, and when it may start."""

    model_config = shown(examples.WAITING)
    place: int
    why: str
    starts_after: str | None = None


class SeedView(Model):
    """One seed of a sweep: its current attempt and, once it has ended, its numbers."""

    model_config = shown(examples.SEED, examples.DONE_SEED)
    seed: int
    state: str
    phase: str | None = None
    attempt: int
    job_id: str
    dashboard: str | None = None
    reason: str | None = None
    warning: str | None = None
    progress: Progress | None = None
    waiting: Waiting | None = None
    val_bpb: Scores = Scores()
    val_loss: Scores = Scores()
    steps: int | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    mfu_peak_tflops: float | None = None
    train_s: float | None = None
    eval_s: float | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    scored_tokens: int | None = None
    scored_bytes: int | None = None
    model_bytes: int | None = None
    code_bytes: int | None = None
    total_bytes: int | None = None
    cap_bytes: int | None = None
    slack_bytes: int | None = None
    gates: list[GateRow] = Field(default_factory=list)
    attempts: list[Attempt] = Field(default_factory=list)


class Interval(Model):
    """A 95 % t-interval."""

    low: float
    high: float


class WelchTest(Model):
    """Welch's test in one unit; ``margin`` 0, or the challenge's 0.005 nats in that unit."""

    unit: str
    margin: float
    difference: float
    t: float | None = None
    df: float | None = None
    p_one_sided: float | None = None


class Statistics(Model):
    """Over the SUCCEEDED seeds."""

    model_config = shown(examples.STATISTICS)
    n: int
    mean_val_bpb: float | None = None
    sd_val_bpb: float | None = None
    interval_95: Interval | None = None
    mean_total_bytes: float | None = None
    max_total_bytes: int | None = None
    baseline: str | None = None
    tests: list[WelchTest] = Field(default_factory=list)
    verdict: str | None = None
    seeds_needed: int | None = None
    planned: str | None = None


class Sweep(Model):
    """A sweep, whole."""

    model_config = shown(examples.SWEEP)
    id: str
    name: str
    state: str
    profile: str
    overrides: dict[str, JsonValue]
    seeds: list[SeedView]
    priority: int
    baseline: str | None
    pool: str
    created_at: datetime
    prepared_at: datetime | None = None
    cancelled_at: datetime | None = None
    reported_at: datetime | None = None
    fingerprint: str | None = None
    note: str = ""
    warning: str | None = None
    statistics: Statistics
    event_count: int
    links: dict[str, str]


class SweepLine(Model):
    """A sweep in a list."""

    model_config = shown(examples.LINE)
    id: str
    name: str
    state: str
    profile: str
    seeds: int
    states: dict[str, int]
    n: int
    mean_val_bpb: float | None = None
    max_total_bytes: int | None = None
    priority: int
    created_at: datetime


class SweepPage(Model):
    """A page of sweeps, newest first unless asked otherwise; ``next`` is the cursor of the following page."""

    model_config = shown(examples.PAGE)
    sweeps: list[SweepLine]
    next: str | None = None
