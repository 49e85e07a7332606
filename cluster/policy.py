"""What a sweep concludes from what it sees: pure functions, no clock, no job system, no files.

The result file of the attempt is the truth, the job system's status a hint (RAY.md 10). Promises kept here (SERVICE.md):
terminal is final (P4); not reachable is not failed and LOST needs positive evidence (P6); a cancelled seed never becomes
SUCCEEDED (P9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cluster.failure import Budget, Cause
from cluster.job_client import JobInfo, JobState
from recur.record.result import Phase, State

_EXIT_CODE = re.compile(r"exit code (-?\d+)")
WITHOUT_GPU = (Phase.QUANTIZE, Phase.FIT)
"""Phases that leave a seed's GPUs to others."""
_SIGNALLED = 128
"""A shell's exit codes from here on stand for signals."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Patience, in seconds.

    Attributes:
        unknown_s: how long the job system must not know a job before the attempt may be LOST.
        gone_s: the same where the attempt's process is known to be gone.
        stale_s: age at which a heartbeat no longer counts as a sign of life.
        exit_grace_s: how long a job may go on after its result is written before it is stopped.
        refused_s: how long a refused submission is repeated.
        room_s: how long a seed waits for a node that can hold it.
        disk_s: how long a disk may refuse while nothing else runs.
        retries: new attempts that a seed gets without being asked.
    """

    unknown_s: float = 30.0
    gone_s: float = 5.0
    stale_s: float = 60.0
    exit_grace_s: float = 30.0
    refused_s: float = 60.0
    room_s: float = 1800.0
    disk_s: float = 30.0
    retries: Budget = field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that is known about one attempt at one moment.

    Attributes:
        job: the job system's view; None when it does not know the job.
        unknown_for_s: since when it has not known it (0 while it does).
        ended_for_s: since when it has said that the job has ended (0 while it does not).
        result: state named by the attempt's own valid result file; None without one.
        result_for_s: how long that file has been there.
        error: one line from the attempt's error file.
        cause: what kind of failure that file tells of.
        heartbeat_age_s: None before the first beat.
        process_gone: the process of the last heartbeat lived on this host and no longer exists.
    """

    job: JobInfo | None
    unknown_for_s: float = 0.0
    ended_for_s: float = 0.0
    result: State | None = None
    result_for_s: float = 0.0
    error: str | None = None
    cause: Cause | None = None
    heartbeat_age_s: float | None = None
    process_gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The attempt's state from now on, why, and whether its job must be told to stop; ``cause`` where it ends without numbers."""

    state: State
    reason: str | None = None
    warning: str | None = None
    stop: bool = False
    cause: Cause | None = None


def judge(state: State, seen: Seen, limits: Limits) -> Verdict:
    """The next state of an attempt whose job has been submitted.

    Args:
        state: SUBMITTED, RUNNING or CANCELLING; a terminal state is returned as it is.
        seen: what was observed.
        limits: patience.
    """
    if state.terminal:
        return Verdict(state=state)
    if state is State.CANCELLING:
        return _judge_cancelling(seen, limits)
    if seen.job is None:
        return _judge_unknown(state, seen, limits)
    if not seen.job.state.terminal:
        now = State.RUNNING if seen.job.state is JobState.RUNNING else State.SUBMITTED
        return Verdict(state=now, stop=seen.result is not None and seen.result_for_s > limits.exit_grace_s)
    return _judge_ended(state, seen.job, seen, limits)


def _judge_cancelling(seen: Seen, limits: Limits) -> Verdict:
    ended = seen.job.state.terminal and _has_ended(seen.job, seen, limits) if seen.job else _gone(seen, limits)
    if ended:
        return Verdict(state=State.CANCELLED, reason="cancelled")
    return Verdict(state=State.CANCELLING, stop=seen.job is not None)


def _judge_ended(state: State, job: JobInfo, seen: Seen, limits: Limits) -> Verdict:
    if seen.result is not None:
        odd = f"the job ended {job.state} after it had written its result" if job.state is not JobState.SUCCEEDED else None
        return Verdict(state=seen.result, warning=odd)
    if seen.error is not None:
        return Verdict(state=State.FAILED, reason=seen.error, cause=seen.cause)
    if not _has_ended(job, seen, limits):
        return Verdict(state=state, warning=f"the job system said {job.state}, but nobody saw the job end")
    if job.state is JobState.STOPPED:
        return Verdict(state=State.CANCELLED, reason="its job was stopped from outside", cause=Cause.STOPPED)
    return Verdict(state=State.FAILED, reason=explain(job), cause=_cause(job))


def _judge_unknown(state: State, seen: Seen, limits: Limits) -> Verdict:
    if seen.result is not None:
        return Verdict(state=seen.result, warning="the job system has forgotten the job; its result file is whole")
    if seen.error is not None:
        return Verdict(state=State.FAILED, reason=seen.error, cause=seen.cause)
    if _gone(seen, limits):
        reason = "the job system does not know the job and its heartbeat has stopped"
        return Verdict(state=State.LOST, reason=reason, cause=Cause.VANISHED)
    return Verdict(state=state)


def _has_ended(job: JobInfo, seen: Seen, limits: Limits) -> bool:
    """Whether an end that the job system tells is one: it saw it, or the attempt shows no life any more."""
    if job.seen or seen.process_gone:
        return True
    return _stale(seen, limits) and seen.ended_for_s >= limits.unknown_s


def _gone(seen: Seen, limits: Limits) -> bool:
    """Positive evidence that nothing of the attempt runs any more."""
    if seen.process_gone and seen.unknown_for_s >= limits.gone_s:
        return True
    return _stale(seen, limits) and seen.unknown_for_s >= limits.unknown_s


def _stale(seen: Seen, limits: Limits) -> bool:
    return seen.heartbeat_age_s is None or seen.heartbeat_age_s > limits.stale_s


def _cause(job: JobInfo) -> Cause:
    """Why a job ended that left neither a result nor an error: by an exit code of its own, or because it was killed."""
    code = _EXIT_CODE.search(job.message)
    if job.state is JobState.SUCCEEDED or (code is not None and 0 < int(code[1]) < _SIGNALLED):
        return Cause.PROGRAM
    return Cause.DRIVER


def explain(job: JobInfo) -> str:
    """One line for a job that ended without a result: the head of its message and the last line of its log."""
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    if job.state is JobState.SUCCEEDED or not lines:
        return f"its job ended {job.state} without a result"
    head = lines[0].split(", last available logs")[0].rstrip(".:")
    return head if len(lines) == 1 else f"{head}: {lines[-1][:200]}"


def free_slots(slots: int, admitted: int, without_gpu: int = 0) -> int:
    """How many more seeds may start: every seed that was admitted and is not terminal holds a slot.

    Args:
        slots: seeds at a time.
        admitted: seeds that were admitted and are not terminal.
        without_gpu: those of them that need no GPU for now, where the recipe lets the next seed use theirs. Each slot is
            passed on at most once: there are never more than two seeds a slot.
    """
    return max(0, min(slots - (admitted - without_gpu), 2 * slots - admitted))
