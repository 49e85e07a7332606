"""Which state may follow which (SERVICE contract, "States"); terminal is final (P4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.store.errors import ForbiddenMove
from api.store.rows import AttemptRow, Ending
from recur.record.result import State

TERMINAL = tuple(s for s in State if s.terminal)  # from best to worst
HELD = (State.SUBMITTING, State.SUBMITTED, State.RUNNING, State.CANCELLING)
OPEN = (State.QUEUED, *HELD)
_AFTER_A_JOB = frozenset({State.CANCELLING, *TERMINAL})
ALLOWED: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SUBMITTING, State.CANCELLED, State.FAILED}),
    State.SUBMITTING: _AFTER_A_JOB | {State.SUBMITTED, State.RUNNING},
    State.SUBMITTED: _AFTER_A_JOB | {State.RUNNING},
    State.RUNNING: _AFTER_A_JOB,
    State.CANCELLING: frozenset({State.CANCELLED, State.TIMED_OUT, State.FAILED}),
}
ENDS_IN = {Ending.CANCEL: State.CANCELLED, Ending.TIMEOUT: State.TIMED_OUT, Ending.FAULT: State.FAILED}
_CHANGES = frozenset({"phase", "progress", "reason", "warning", "ending", "result", "gates"})


def check(row: AttemptRow, to: State, changes: Mapping[str, Any]) -> None:
    """Whether ``row`` may become ``to`` with these columns changed.

    Raises:
        ForbiddenMove: it may not.
    """
    if to not in ALLOWED.get(row.state, ()):
        raise ForbiddenMove(f"{row.job_id} is {row.state} and cannot become {to}")
    if row.state is State.CANCELLING and row.ending is not None and to is not ENDS_IN[row.ending]:
        raise ForbiddenMove(f"{row.job_id} is being ended ({row.ending}) and cannot become {to}")
    if to is State.CANCELLING and changes.get("ending") is None:
        raise ForbiddenMove(f"{row.job_id} cannot become CANCELLING without an ending")
    if unknown := sorted(set(changes) - _CHANGES):
        raise ForbiddenMove(f"a move cannot change {', '.join(unknown)}")
