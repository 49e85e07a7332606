"""A sweep that was begun without the service, as rows: each seed with the attempts that it has on disk.

Only the store's own moves are used, so an adopted sweep is like any other: what may still run is RUNNING, with its slot, and
the reconciler looks at it and takes its result in (P6, P10); what has not begun is QUEUED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from api.store import attempts, sweeps
from api.store.attempt_rows import key
from api.store.rows import AttemptRow, Ending, NewSweep, SweepRow
from api.store.tables import attempts as table
from recur.record.result import State

SUPERSEDED = "replaced by the next attempt"

NEVER = 1 << 30
"""Retries of a seed whose driver, not the service, replaces what is lost: more than any budget."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A seed that has attempts on disk.

    Attributes:
        attempt: the newest.
        at: when it began, seconds since 1970.
        state: how it has ended; RUNNING where that is to be found out.
        reason: why, for an end without numbers.
        retried: replace it when it turns out to be LOST; False where something else does that.
    """

    seed: int
    attempt: int
    at: float
    state: State = State.RUNNING
    reason: str | None = None
    retried: bool = True


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What its driver had prepared; the arguments of `sweeps.prepared`."""

    fingerprint: str
    dataset_root: str
    note: str
    recipe: Mapping[str, Any]


def adopt(c: Connection, new: NewSweep, spec: Spec, begun: Sequence[Begun], *, now: float, ageing_s: float) -> SweepRow:
    """Bring a sweep into the table.

    Args:
        c: a writing connection.
        new: the sweep.
        spec: what its driver had prepared.
        begun: the seeds that are not QUEUED.
        now: seconds since 1970.
        ageing_s: what a step of priority is worth in waiting.

    Returns:
        The sweep as it is now.
    """
    row = sweeps.create(c, new, ageing_s=ageing_s)
    fields: dict[str, Any] = {name: getattr(spec, name) for name in Spec.__dataclass_fields__}
    row = sweeps.prepared(c, new.sweep, **fields, now=now) or row
    for seed in begun:
        for number in range(1, seed.attempt):
            _end(c, _started(c, new.sweep, seed.seed, number, new.created_at), State.FAILED, SUPERSEDED, new.created_at)
            attempts.retry(c, new.sweep, seed.seed, now=seed.at, ageing_s=ageing_s, adopt_from=number, automatic=None)
        current = _started(c, new.sweep, seed.seed, seed.attempt, seed.at)
        if seed.state is not State.RUNNING:
            _end(c, current, seed.state, seed.reason, now)
        elif not seed.retried:
            c.execute(update(table).where(key(new.sweep, seed.seed, seed.attempt)).values(lost=NEVER, preempted=NEVER))
    return sweeps.get(c, new.sweep) or row


def _started(c: Connection, sweep: str, seed: int, attempt: int, at: float) -> AttemptRow:
    """Move a queued attempt to RUNNING; its job id is what its driver gave it too."""
    row = attempts.get(c, sweep, seed, attempt)
    for state in (State.SUBMITTING, State.SUBMITTED, State.RUNNING):
        row = attempts.move(c, row, state, now=at) if row is not None else None
    assert row is not None, "made in this transaction"
    return row


def _end(c: Connection, row: AttemptRow, state: State, reason: str | None, at: float) -> None:
    changes: dict[str, Any] = {"reason": reason} | ({"ending": Ending.CANCEL} if state is State.CANCELLED else {})
    attempts.move(c, row, state, now=at, **changes)
