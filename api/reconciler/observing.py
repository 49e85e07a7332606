"""One look at every open attempt, and what follows from it. The job's status is a hint, the attempt's folder the truth (P6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from api.reconciler.beats import progress_of
from api.reconciler.desk import Desk, Round
from api.reconciler.ending import Endings
from api.store import attempts
from api.store.rows import AttemptRow, Ending
from cluster.job_client import JobInfo, JobsUnreachable
from cluster.launch import make_sure, save_log
from cluster.look import Look, listen, look
from cluster.outcome import cancelled, mark_cancelled
from cluster.policy import Verdict, judge
from cluster.seal import check_seal
from recur.errors import ArtifactError, StorageError
from recur.record.attempt import AttemptDir
from recur.record.result import State
from recur.seedspec import SPEC_FILE

_log = logging.getLogger(__name__)
_RESULT_WAITS = "its result is there, and its job was told to end: its numbers count when it has"
WATCHED = (State.SUBMITTED, State.RUNNING, State.CANCELLING)


@dataclass(kw_only=True)
class Observing:
    """Looks at open attempts and acts on what is seen."""

    desk: Desk
    endings: Endings

    def attend(self, row: AttemptRow, round_: Round) -> None:
        """One attempt; what goes wrong with it is kept in ``round_``."""
        with round_.guard(row.job_id):
            if row.state is State.CANCELLING:
                self._cancelling(row, round_)
            else:
                self._running(row)

    def _running(self, row: AttemptRow) -> None:
        desk, attempt = self.desk, self.desk.folder(row)
        job = self._info(row)
        try:
            found = look(attempt, job, desk.watch(row).sight, desk.clock())
        except ArtifactError as error:
            self.endings.begin(row, Ending.FAULT, _damage(attempt, error))
            return
        if found.result is not None:
            desk.boundary("result_written")
        make_sure(desk.jobs, row.job_id, found.seen, desk.watch(row).sight, desk.settings.limits)
        verdict = judge(row.state, found.seen, desk.settings.limits)
        if verdict.stop:
            self._stop(row)
        if not verdict.state.terminal:
            self._goes_on(row, found, verdict)
        elif verdict.state in (State.SUCCEEDED, State.INVALID):
            self.endings.take_in(row, found, verdict)
        else:
            self.endings.end(row, verdict, job)

    def _goes_on(self, row: AttemptRow, found: Look, verdict: Verdict) -> None:
        """A job that has not ended: say that it runs, keep its heartbeat and its log, see that it does not run too long."""
        desk, now = self.desk, self.desk.clock()
        if verdict.warning is not None:
            with desk.store.write() as c:
                attempts.warn(c, row, verdict.warning, now=now)
        if row.state is State.SUBMITTED and (verdict.state is State.RUNNING or found.life is not None):
            with desk.store.write() as c:
                attempts.move(c, row, State.RUNNING, now=now, reason=None)
            desk.boundary("running_seen")
            return
        most_s = desk.settings.max_run_s
        if most_s is not None and row.running_at is not None and found.result is None and now - row.running_at > most_s:
            self.endings.begin(row, Ending.TIMEOUT, f"it ran longer than max_run_s={most_s:g}")
            return
        if verdict.stop and row.reason != _RESULT_WAITS:
            with desk.store.write() as c:
                attempts.explain(c, row, _RESULT_WAITS, now=now)
        self._keep_beat(row, found)
        self._keep_log(row)

    def _cancelling(self, row: AttemptRow, round_: Round) -> None:
        """Tell the job to end until it has; a job that has not started yet finds the mark."""
        desk, attempt = self.desk, self.desk.folder(row)
        if not attempt.path(SPEC_FILE).exists():
            self.endings.end(row, Verdict(state=State.CANCELLED), None)  # the spec precedes every submission
            return
        unmarked = self._mark(attempt)
        desk.boundary("cancel_intent")
        try:
            job = self._info(row)
        except JobsUnreachable as error:
            self._explain(row, f"{_why(row)}: its job cannot be stopped while the job system is away")
            raise error
        try:
            seen = look(attempt, job, desk.watch(row).sight, desk.clock()).seen
        except ArtifactError as error:
            _log.info("damaged job=%s error=%s", row.job_id, error)
            seen = listen(job, desk.watch(row).sight, desk.clock())
        verdict = judge(row.state, seen, desk.settings.limits)
        if verdict.state.terminal:
            self.endings.end(row, verdict, job)
            return
        if verdict.stop:
            self._stop(row)
            desk.boundary("stop")
        if row.ending is Ending.CANCEL:
            self._explain(row, f"cancelling: {_waits_for(job)}" + (f"; {unmarked}" if unmarked else ""))

    def _mark(self, attempt: AttemptDir) -> str | None:
        """Mark an attempt, so that a job that starts late ends at once; why it cannot be: its job is stopped all the same."""
        try:
            if not cancelled(attempt):
                mark_cancelled(attempt)
        except StorageError as error:
            return str(error)
        return None

    def _info(self, row: AttemptRow) -> JobInfo | None:
        try:
            return self.desk.jobs.info(row.job_id)
        except JobsUnreachable:
            self.desk.observer.call_failed("info")
            raise

    def _stop(self, row: AttemptRow) -> None:
        try:
            self.desk.jobs.stop(row.job_id)
        except JobsUnreachable:
            self.desk.observer.call_failed("stop")
            raise

    def _explain(self, row: AttemptRow, reason: str) -> None:
        if row.ending is not Ending.CANCEL or row.reason == reason:
            return
        with self.desk.store.write() as c:
            attempts.explain(c, row, reason, now=self.desk.clock())

    def _keep_beat(self, row: AttemptRow, found: Look) -> None:
        """Store a new heartbeat; an event at a new phase and every few seconds."""
        watch, now = self.desk.watch(row), self.desk.clock()
        if found.life is None or found.life.fields.get("at") == watch.beat_at:
            return
        beat = progress_of(found.life.fields, self.desk.sweep(row.sweep).recipe)
        say = beat.phase != watch.said_phase or now - watch.said_at >= self.desk.settings.progress_every_s
        with self.desk.store.write() as c:
            attempts.beat(c, row, phase=beat.phase, progress=beat.progress, now=now, say=say)
        watch.beat_at = found.life.fields.get("at")
        if say:
            watch.said_at, watch.said_phase = now, beat.phase

    def _keep_log(self, row: AttemptRow) -> None:
        watch, now = self.desk.watch(row), self.desk.clock()
        if row.state is not State.RUNNING or now - watch.logged_at < self.desk.settings.log_every_s:
            return
        watch.logged_at = now
        save_log(self.desk.jobs, row.job_id, self.desk.folder(row))


def _damage(attempt: AttemptDir, error: ArtifactError) -> str:
    """What is damaged; where the job has sealed its files, with both hashes."""
    try:
        check_seal(attempt)
    except ArtifactError as found:
        return str(found)
    return str(error)


def _why(row: AttemptRow) -> str:
    return "cancelling" if row.ending is Ending.CANCEL else str(row.ending)


def _waits_for(job: JobInfo | None) -> str:
    if job is None:
        return "the job system does not know its job; it waits for the end of its heartbeat"
    if job.state.terminal:
        return f"the job system says {job.state}, but its heartbeat goes on"
    return f"its job is {job.state} and was told to stop"
