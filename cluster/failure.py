"""What follows a failure: a pure function of the causes so far. No clock, no files, no job system.

A record attempt is never resumed inside its 600 s: a retry is a whole new attempt. What the user must mend is never tried
again; a machine that was taken away has a budget of its own, because it says nothing about the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Cause(StrEnum):
    """Why an attempt, or a training inside one, ended without its numbers."""

    INPUT = "input"
    """Bad data, recipe, disk: the user's to mend."""
    PLACEMENT = "placement"
    """No node can ever hold it."""
    RULE = "rule"
    """It finished, and a gate of the challenge failed."""
    PROGRAM = "program"
    """An exception of the program's own (divergence, a bug): it would come again."""
    WORKER = "worker"
    """A training process died without an exception: killed, out of memory, a device that fell off the bus."""
    NODE = "node"
    """A machine went away: a spot instance taken back, a power cut."""
    ROOM = "room"
    """The cluster had no free place for it when it was to start."""
    DRIVER = "driver"
    """The process that drives the attempt died, and the job system saw it end."""
    VANISHED = "vanished"
    """Nothing of it can be seen any more."""
    STOPPED = "stopped"
    """Its job was stopped by somebody."""


_OF_THE_MACHINES = (Cause.NODE, Cause.ROOM)
"""They say nothing about the run."""


class Action(StrEnum):
    """What is done."""

    RETRY = "retry"
    FAIL = "fail"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Retries that one seed gets without being asked.

    Attributes:
        lost: for what died.
        preempted: for nodes that went away, and for places that were not there.
    """

    lost: int = 1
    preempted: int = 3


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Retries of both kinds that a seed has had."""

    lost: int = 0
    preempted: int = 0

    def plus(self, cause: Cause) -> Spent:
        """One more, for this cause."""
        if cause in _OF_THE_MACHINES:
            return replace(self, preempted=self.preempted + 1)
        return replace(self, lost=self.lost + 1)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The action, and why: what can follow a failure's own reason in a sentence for a person."""

    cause: Cause
    action: Action
    reason: str


_NEVER = {
    Cause.INPUT: "not tried again: the input has to be mended first",
    Cause.PLACEMENT: "not tried again: no node of this cluster can hold it",
    Cause.PROGRAM: "not tried again: the same program on the same data would fail the same way",
    Cause.STOPPED: "not tried again: it was stopped on purpose",
}
_SAY_IT_ALL = (Cause.INPUT, Cause.PLACEMENT, Cause.STOPPED)
"""Their own reason already tells what to do."""


def decide(cause: Cause, had: Spent, budget: Budget) -> Decision:
    """What follows ``cause``.

    Args:
        cause: why it ended now.
        had: retries that nobody asked for, so far.
        budget: how many there may be.
    """
    if cause is Cause.RULE:
        return Decision(cause=cause, action=Action.INVALID, reason="it finished, but a gate failed")
    if cause in _NEVER:
        return Decision(cause=cause, action=Action.FAIL, reason=_NEVER[cause])
    taken = cause in _OF_THE_MACHINES
    spent, most = (had.preempted, budget.preempted) if taken else (had.lost, budget.lost)
    if spent < most:
        return Decision(cause=cause, action=Action.RETRY, reason=f"tried again by itself, {spent + 1} of {most}")
    return Decision(cause=cause, action=Action.FAIL, reason="not tried again by itself any more: look at its logs, then retry it")


def explained(reason: str | None, decision: Decision | None) -> str | None:
    """A failure's reason, and what follows where that is the end and the reason alone does not say what to do."""
    if decision is None or decision.action is not Action.FAIL or decision.cause in _SAY_IT_ALL:
        return reason
    return f"{reason} ({decision.reason})"
