"""What the reconciler is set to, what a round of it reports, and who may listen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from api.store.rows import Pool
from cluster.policy import Limits


@dataclass(frozen=True, kw_only=True)
class ReconcilerSettings:
    """How the reconciler works; durations in seconds.

    Attributes:
        root: the repository, where the helper's scripts lie.
        runtime_env: of every seed job (`cluster.launch.seed_environment`).
        tick_s: wait between two rounds.
        limits: patience with jobs, and how often a LOST seed is tried again unasked.
        cpu_slots, gpu_slots: seeds at a time; None asks the recipe and the cluster.
        ageing_s: what a step of priority is worth in waiting.
        max_run_s: how long an attempt may run; None for as long as it likes.
        progress_every_s: at most one event "progress" of an attempt in this time, beside one a phase.
        log_every_s: how often the log of a running job is fetched.
        prepare_ahead: how many waiting sweeps are kept prepared.
        prepare_timeout_s, report_timeout_s: how long the helper may take.
        call_timeout_s: how long a call of the job system may take.
        nodes_every_s: how often the cluster's nodes are counted.
    """

    root: Path
    runtime_env: dict[str, object] = field(default_factory=dict)
    tick_s: float = 1.0
    limits: Limits = field(default_factory=Limits)
    cpu_slots: int | None = None
    gpu_slots: int | None = None
    ageing_s: float = 3600.0
    max_run_s: float | None = None
    progress_every_s: float = 5.0
    log_every_s: float = 10.0
    prepare_ahead: int = 2
    prepare_timeout_s: float = 3600.0
    report_timeout_s: float = 1800.0
    call_timeout_s: float = 10.0
    nodes_every_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One round.

    Attributes:
        at: when it began.
        duration_s: how long it took.
        admitted: seeds that left the queue.
        open: attempts that held a slot in it.
        unreachable: why the job system could not be asked; None where it answered.
        errors: what else went wrong, one line each; it is tried again in the next round.
    """

    at: float
    duration_s: float
    admitted: int
    open: int
    unreachable: str | None
    errors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SlotCount:
    """Slots of a pool: how many (None: not known now), where the number is from, and why there is none."""

    slots: int | None
    source: str
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the service can say about the reconciler now.

    Attributes:
        at: when the last round ended; None before the first.
        degraded: what does not work; None where all does.
        slots: by pool.
        address: of Ray's dashboard.
        preparing: sweep whose data is being prepared.
    """

    at: float | None
    degraded: str | None
    slots: Mapping[Pool, SlotCount]
    address: str
    preparing: str | None = None


class Observer(Protocol):
    """Who counts what the reconciler does."""

    def ticked(self, seconds: float) -> None:
        """A round took so long."""

    def admitted(self, waited_s: float) -> None:
        """A seed left the queue after it had waited."""

    def call_failed(self, call: str) -> None:
        """A call of the job system got no answer, or was refused."""


class _Nobody:
    def ticked(self, seconds: float) -> None: ...

    def admitted(self, waited_s: float) -> None: ...

    def call_failed(self, call: str) -> None: ...


NO_OBSERVER: Observer = _Nobody()
