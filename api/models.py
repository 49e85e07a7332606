"""The resources of the interface: what requests carry and what answers look like (SERVICE contract, `/v1`).

Unknown fields are refused everywhere. Times are ISO 8601 in UTC, sizes bytes, losses nats per token, durations seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SweepId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,44}$")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Model(BaseModel):
    """Base of all resources."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SweepSubmission(Model):
    """Body of ``POST /v1/sweeps``."""

    profile: Annotated[str, Field(max_length=64)]
    overrides: Annotated[dict[str, JsonValue], Field(max_length=100)] = {}
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=100)]
    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    baseline: Annotated[str, Field(max_length=64)] | None = None


class RetryRequest(Model):
    """Body of ``POST /v1/sweeps/{id}/retry``: seeds to run again; without them every seed that ended without success."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=100)] | None = None


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

    place: int
    why: str
    starts_after: str | None = None


class SeedView(Model):
    """One seed of a sweep: its current attempt and, once it has ended, its numbers."""

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
    seconds: dict[str, float] = {}
    scored_tokens: int | None = None
    scored_bytes: int | None = None
    model_bytes: int | None = None
    code_bytes: int | None = None
    total_bytes: int | None = None
    cap_bytes: int | None = None
    slack_bytes: int | None = None
    gates: list[GateRow] = []
    attempts: list[Attempt] = []


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

    n: int
    mean_val_bpb: float | None = None
    sd_val_bpb: float | None = None
    interval_95: Interval | None = None
    mean_total_bytes: float | None = None
    max_total_bytes: int | None = None
    baseline: str | None = None
    tests: list[WelchTest] = []
    verdict: str | None = None
    seeds_needed: int | None = None
    planned: str | None = None


class Sweep(Model):
    """A sweep, whole."""

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

    sweeps: list[SweepLine]
    next: str | None = None


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

    slots: list[SlotView]
    waiting: list[QueueLine]
    total_waiting: int
    degraded: str | None = None


class ProblemPart(Model):
    """One wrong place in a request: a JSON pointer, what is wrong, and the cure."""

    pointer: str
    detail: str
    hint: str = ""


class Problem(Model):
    """RFC 9457, with a code, the wrong places, a hint and the request's id."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[ProblemPart] = []
    hint: str = ""
    request_id: str


class RecordSeed(Model):
    """One published run."""

    seed: int
    val_bpb: float
    val_loss: float | None = None
    total_bytes: int | None = None
    steps: int | None = None


class RecordLine(Model):
    """A published line: ``accepted`` ones are merged or stand in the leaderboard; the mean is over its seeds."""

    pr: int
    name: str
    source: str
    author: str = ""
    date: str = ""
    status: str = ""
    accepted: bool = False
    track: str = ""
    corpus: str = ""
    tokenizer: str = ""
    scoring: str = "sliding"
    stride: int | None = None
    cap_bytes: int | None = None
    code_bytes: int | None = None
    hardware: str = ""
    note: str = ""
    val_bpb: float
    sd_val_bpb: float | None = None
    n: int | None = None
    seeds: list[RecordSeed] = []


class ArmView(Model):
    """One side of a comparison."""

    label: str
    seeds: list[int] = []
    val_bpb: list[float] = []
    n: int | None = None
    mean_val_bpb: float | None = None
    sd_val_bpb: float | None = None
    mean_val_loss: float | None = None
    mean_total_bytes: float | None = None
    max_total_bytes: int | None = None
    stride: int | None = None
    status: str = ""


class PolicyView(Model):
    """One rule of the challenge for a new record; ``passed`` is null where it cannot be judged."""

    policy: str
    passed: bool | None
    p: float | None
    told: str


class ConfigChange(Model):
    """One key of the recipe that differs, with dots; null on the side that does not have it."""

    key: str
    a: JsonValue = None
    b: JsonValue = None


class Comparison(Model):
    """``a`` against ``b``: differences are a minus b, below zero a is better. ``finding`` is the whole in a sentence."""

    finding: str
    relation: str
    a: ArmView
    b: ArmView
    difference_bpb: float | None = None
    difference_loss: float | None = None
    difference_bytes: float | None = None
    interval_95: Interval | None = None
    tests: list[WelchTest] = []
    policies: list[PolicyView] = []
    config: list[ConfigChange] | None = None
    warnings: list[str] = []


class Alive(Model):
    """The process answers."""

    status: str


class Version(Model):
    """What runs here."""

    version: str
    source_sha256: str
    python: str
    ray: str | None = None


class Ready(Model):
    """Whether the service can work; ``degraded`` says what is missing while it still accepts submissions."""

    status: str
    database: str
    migrations: str
    reconciler: str
    degraded: str | None = None


class ProfileLine(Model):
    """A shipped profile in a few words."""

    name: str
    mode: str
    gpus: int
    cap_bytes: int


class ProfileView(Model):
    """A profile with every key, and the schema that overrides must satisfy."""

    name: str
    recipe: dict[str, Any]
    json_schema: dict[str, Any]
