"""Bringing attempts to their end: results that count, faults, timeouts, cancels, losses. Each end is one move in the store.

Before the move everything that belongs to the end lies on the disk (log, the seed's pointer), so that a kill between the
two only repeats it. A terminal state is set when the job has ended, or on evidence that nothing of it runs; where the
job's end was not seen, a mark in the folder keeps a job that starts late from running (P7).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from api.reconciler.desk import Desk
from api.reconciler.ingest import numbers_of, take_in
from api.store import RetryRefused, attempts
from api.store.rows import AttemptRow, Ending
from cluster.failure import Action, Cause, Decision, decide, explained
from cluster.job_client import JobInfo
from cluster.launch import save_log
from cluster.look import Look
from cluster.outcome import RESULT_FILE, cancelled, mark_cancelled
from cluster.policy import Verdict
from recur.errors import ArtifactError
from recur.record.attempt import write_seed_result
from recur.record.codec import to_json
from recur.record.result import SeedResult, State

_log = logging.getLogger(__name__)
ENDS_IN = {Ending.CANCEL: State.CANCELLED, Ending.TIMEOUT: State.TIMED_OUT, Ending.FAULT: State.FAILED}


@dataclass(kw_only=True)
class Endings:
    """All ways to a terminal state."""

    desk: Desk

    def take_in(self, row: AttemptRow, found: Look, verdict: Verdict) -> None:
        """A result that was seen: it counts if it matches the disk, else the attempt ends as a fault.

        Raises:
            StorageError: the seed's pointer cannot be written.
        """
        desk, attempt = self.desk, self.desk.folder(row)
        assert found.result is not None, "judged by its result"
        try:
            numbers = numbers_of(desk.sweep(row.sweep).recipe)
            taken = take_in(attempt, found.result, **numbers)
            write_seed_result(attempt.root, found.result)
        except ArtifactError as error:
            self.begin(row, Ending.FAULT, str(error))
            return
        desk.boundary("ingest")
        said = dict.fromkeys(text for text in (row.warning, verdict.warning) if text)
        changes: dict[str, Any] = {"result": taken.result, "gates": taken.gates, "warning": "; ".join(said) or None}
        self._close(row, found.result.state, reason=found.result.error, **changes)

    def begin(self, row: AttemptRow, ending: Ending, reason: str) -> None:
        """Start to end an attempt whose job may still run."""
        now = self.desk.clock()
        with self.desk.store.write() as c:
            moved = attempts.move(c, row, State.CANCELLING, now=now, ending=ending, reason=_plain(reason))
        _log.info("ending job=%s ending=%s moved=%s reason=%s", row.job_id, ending, moved is not None, reason)

    def end(self, row: AttemptRow, verdict: Verdict, job: JobInfo | None) -> None:
        """An end without numbers, as it was judged; a lost attempt may be followed by another one.

        Raises:
            StorageError: log, mark or pointer cannot be written.
        """
        if row.state is State.CANCELLING:
            ending = row.ending or Ending.CANCEL
            state, reason, cause = ENDS_IN[ending], "cancelled" if ending is Ending.CANCEL else row.reason, None
        else:
            state, reason, cause = verdict.state, verdict.reason, verdict.cause
        self.without_numbers(row, state, reason, cause=cause, fenced=job is not None and job.state.terminal and job.seen)

    def without_numbers(
        self, row: AttemptRow, state: State, reason: str | None, *, fenced: bool, cause: Cause | None = None
    ) -> None:
        """End an attempt for a reason.

        Args:
            row: the attempt.
            state: terminal.
            reason: for a person.
            fenced: its job was seen to end; else a mark keeps it from starting late.
            cause: what kind of failure it was; decides whether it is tried again. None: it is not.

        Raises:
            StorageError: as `end`.
        """
        attempt = self.desk.folder(row)
        decision = decide(cause, row.had, self.desk.settings.limits.retries) if cause is not None else None
        reason = explained(_plain(reason), decision) if reason else None
        if attempt.folder.is_dir():
            if not fenced and not cancelled(attempt):
                mark_cancelled(attempt)
            write_seed_result(attempt.root, SeedResult(seed=row.seed, state=state, attempt=row.attempt, error=reason))
        self._close(row, state, decision, reason=reason)

    def _close(self, row: AttemptRow, state: State, decision: Decision | None = None, **changes: Any) -> None:
        desk, attempt = self.desk, self.desk.folder(row)
        if attempt.folder.is_dir():
            save_log(desk.jobs, row.job_id, attempt)
        now = desk.clock()
        with desk.store.write() as c:
            moved = attempts.move(c, row, state, now=now, **changes)
            if moved is not None and decision is not None and decision.action is Action.RETRY:
                self._again(c, moved, decision.cause, now)
        desk.boundary("terminal")
        if moved is not None:
            desk.watches.pop(row.job_id, None)
            if moved.result is None and not attempt.path(RESULT_FILE).exists():
                desk.ended[row.job_id] = moved
            _log.info("ended job=%s state=%s reason=%s", row.job_id, state, changes.get("reason"))

    def _again(self, c: Any, row: AttemptRow, cause: Cause, now: float) -> None:
        """An attempt that died is followed by one that takes over its finished phases."""
        try:
            attempts.retry(
                c,
                row.sweep,
                row.seed,
                now=now,
                ageing_s=self.desk.settings.ageing_s,
                adopt_from=row.attempt,
                automatic=cause,
            )
        except RetryRefused as error:
            _log.info("no_retry job=%s reason=%s", row.job_id, error)


def outcome(row: AttemptRow) -> dict[str, Any]:
    """An ended attempt as a `SeedResult` in JSON data; without numbers where none were taken in."""
    if row.result is not None:
        return dict(row.result)
    without: dict[str, Any] = to_json(SeedResult(seed=row.seed, state=row.state, attempt=row.attempt, error=row.reason))
    return without


def _plain(text: str) -> str:
    """One bounded line that every database takes."""
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", " ").split())[:1000]
