"""What the store hands out and takes in: frozen rows, times in seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cluster.failure import Spent
from recur.record.result import State


class Pool(StrEnum):
    """Which slots a seed waits for: nodes with enough GPUs, or seats of profiles without GPUs."""

    CPU = "cpu"
    GPU = "gpu"


class Ending(StrEnum):
    """Why an attempt in CANCELLING is being ended, which decides its terminal state.

    CANCEL ends in CANCELLED, TIMEOUT in TIMED_OUT, FAULT (a damaged result, a job past its result) in FAILED.
    """

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    FAULT = "fault"


@dataclass(frozen=True, kw_only=True)
class NewSweep:
    """A checked submission.

    Attributes:
        sweep: id of the sweep and name of its folder, ``[a-z0-9][a-z0-9-]*``, at most 45 letters.
        overrides: ``section.key`` to a JSON value, as the request gave them.
        recipe: the whole recipe as JSON data, after the overrides.
        seeds: in the order asked for.
        priority: -100 to 100, higher first.
        baseline: pull request of a known line, or the id of another sweep; None for none.
        pool: which slots its seeds need.
        created_by: id of the key; None where no key was asked for.
    """

    sweep: str
    name: str
    profile: str
    overrides: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    priority: int
    baseline: str | None
    pool: Pool
    created_at: float
    created_by: str | None = None
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """A sweep as stored; its state is not here, it follows from its attempts.

    Attributes:
        prepared_at: when data and spec were ready; None before. Nothing is admitted before.
        fingerprint, dataset_root: known once prepared.
        note: what is odd about the placement.
        cancelled_at: when a cancel was asked for.
        reported_at: when sweep.json, plots and the record folder were written after the last seed; None before, and again
            after a retry.
        record_path: the record folder, relative to the sweep's folder; None where there is none.
        warning: what a reader must know about its report, e.g. why there is no record folder.
        event_count: number of its newest event.
        version: grows with every change.
    """

    sweep: str
    name: str
    profile: str
    overrides: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    priority: int
    baseline: str | None
    pool: Pool
    created_at: float
    created_by: str | None
    request_id: str
    prepared_at: float | None
    fingerprint: str | None
    dataset_root: str | None
    note: str
    cancelled_at: float | None
    reported_at: float | None
    record_path: str | None
    warning: str | None
    event_count: int
    version: int


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    """One attempt of one seed.

    Attributes:
        current: it is the seed's latest attempt; exactly one a seed is.
        job_id: decided when the row is made, unique over all sweeps.
        rank: place in the queue, smallest first: ``queued_at - priority * ageing_s``, so that waiting outweighs priority.
        phase, progress: latest heartbeat (phase, step, steps, loss, tokens_per_s, mfu, at ...).
        ending: set while CANCELLING, and kept.
        adopt_from: earlier attempt whose finished phases this one takes over.
        had: earlier attempts of this seed that were replaced without being asked.
        result: the `SeedResult` as JSON data once it was taken in.
        gates: rows of gates.json (name, value, limit, verdict, why, source) once taken in.
    """

    sweep: str
    seed: int
    attempt: int
    current: bool
    state: State
    version: int
    job_id: str
    pool: Pool
    rank: float
    phase: str | None
    progress: Mapping[str, Any]
    reason: str | None
    warning: str | None
    ending: Ending | None
    adopt_from: int | None
    had: Spent
    queued_at: float
    admitted_at: float | None
    submitted_at: float | None
    running_at: float | None
    ended_at: float | None
    result: Mapping[str, Any] | None
    gates: tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One thing that happened; ``number`` counts 1, 2, 3 ... within its sweep without gaps.

    Kinds: created, state, progress, warning, prepared, cancel_asked, retry, reported.
    """

    sweep: str
    number: int
    at: float
    kind: str
    seed: int | None
    attempt: int | None
    data: Mapping[str, Any]


class Scope(StrEnum):
    """What a key may do: each includes the ones before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class KeyRow:
    """A bearer key as stored: never the key itself, only its SHA-256."""

    key_id: str
    name: str
    scope: Scope
    created_at: float
    revoked_at: float | None
