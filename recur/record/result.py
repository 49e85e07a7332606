"""The one vocabulary of results: phases, states, and what a seed and a sweep report.

These dataclasses are the schema of `result.json`, `sweep.json` and `results.csv`; `recur.record.report` is their one
writer. Times are seconds, sizes bytes, losses nats per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recur.record.stats import spread


class Phase(StrEnum):
    """What an attempt is doing, in this order."""

    SETUP = "setup"
    TRAIN = "train"
    CALIBRATE = "calibrate"
    QUANTIZE = "quantize"
    FIT = "fit"
    EVALUATE = "evaluate"
    VERIFY = "verify"


class State(StrEnum):
    """State of one attempt of one seed; the order of the terminal ones is from best to worst."""

    QUEUED = "QUEUED"
    SUBMITTING = "SUBMITTING"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    INVALID = "INVALID"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    LOST = "LOST"
    FAILED = "FAILED"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = (State.SUCCEEDED, State.INVALID, State.CANCELLED, State.TIMED_OUT, State.LOST, State.FAILED)


def worst(states: list[State]) -> State:
    """A sweep's state: QUEUED, RUNNING or CANCELLING while any seed is open, else the worst terminal state."""
    if not states or all(s is State.QUEUED for s in states):
        return State.QUEUED
    if State.CANCELLING in states:
        return State.CANCELLING
    if any(not s.terminal for s in states):
        return State.RUNNING
    return max(states, key=_TERMINAL.index)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number per stage of the model; None where it was not measured."""

    last_step: float | None = None
    trained: float | None = None
    roundtrip: float | None = None
    sliding: float | None = None


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one finished seed reports; the numbers come from the attempt's phase records."""

    seed: int
    state: State
    attempt: int
    error: str | None = None
    steps: int | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    mfu_peak_tflops: float | None = None
    val_bpb: Scores = Scores()
    val_loss: Scores = Scores()
    scored_tokens: int | None = None
    scored_bytes: int | None = None
    model_bytes: int | None = None
    model_sha256: str | None = None
    code_bytes: int | None = None
    code_bytes_source: str | None = None
    total_bytes: int | None = None
    cap_bytes: int | None = None
    slack_bytes: int | None = None
    seconds: dict[str, float] | None = None
    placement: dict[str, object] | None = None
    quantized: dict[str, int] | None = None
    """How many tensors were stored which way; a ``clip_search`` beside ``gptq`` is a Hessian that could not be factorised."""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """Several seeds of one recipe; means are over SUCCEEDED seeds, n beside them, no deviation below two."""

    sweep: str
    profile: str
    fingerprint: str
    state: State
    n: int
    mean_val_bpb: float | None
    std_val_bpb: float | None
    mean_total_bytes: float | None
    max_total_bytes: int | None
    seeds: tuple[SeedResult, ...]


def summarise(sweep: str, profile: str, fingerprint: str, seeds: list[SeedResult]) -> SweepResult:
    """The sweep's result from its seeds' results, in the order given."""
    good = [s for s in seeds if s.state is State.SUCCEEDED]
    score = spread([s.val_bpb.sliding for s in good if s.val_bpb.sliding is not None])
    totals = [s.total_bytes for s in good if s.total_bytes is not None]
    total = spread(totals)
    return SweepResult(
        sweep=sweep,
        profile=profile,
        fingerprint=fingerprint,
        state=worst([s.state for s in seeds]),
        n=len(good),
        mean_val_bpb=score.mean if score else None,
        std_val_bpb=score.sd if score else None,
        mean_total_bytes=total.mean if total else None,
        max_total_bytes=max(totals) if totals else None,
        seeds=tuple(seeds),
    )
