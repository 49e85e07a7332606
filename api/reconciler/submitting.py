"""From SUBMITTING to SUBMITTED: folder, adopted phases and spec first, then its one job, whose id was decided long ago.

Repeating any of it is harmless: the folder is made once, and a job system that knows the id starts nothing (P3). An attempt
whose folder shows life is never submitted again, whatever a job system without memory says.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.reconciler.desk import Desk, Round
from api.reconciler.ending import Endings
from api.store import attempts
from api.store.rows import AttemptRow, Ending
from cluster.job_client import JobRefused, JobsUnreachable, JobTaken, job_id
from cluster.launch import place_attempt, seed_request
from cluster.look import lives
from cluster.outcome import ERROR_FILE, RESULT_FILE, cancelled, mark_cancelled
from recur.errors import RecipeError
from recur.record.attempt import AttemptDir
from recur.record.result import State
from recur.seedspec import SPEC_FILE, SeedSpec

_SIGNS = ("heartbeat.json", RESULT_FILE, ERROR_FILE)


@dataclass(kw_only=True)
class Submitting:
    """Submits admitted attempts."""

    desk: Desk
    endings: Endings

    def attend(self, row: AttemptRow, round_: Round) -> None:
        """One attempt that is SUBMITTING; what goes wrong with it is kept in ``round_`` and tried again in the next round."""
        with round_.guard(row.job_id):
            try:
                spec = self.desk.spec(row)
            except RecipeError as error:
                if self.desk.folder(row).path(SPEC_FILE).exists():  # its job may run: a reply can be lost
                    self.endings.begin(row, Ending.FAULT, str(error))
                else:
                    self.endings.without_numbers(row, State.FAILED, str(error), fenced=True)
                return
            self._submit(row, spec)

    def _submit(self, row: AttemptRow, spec: SeedSpec) -> None:
        desk = self.desk
        watch, refused_since = desk.watch(row), desk.watch(row).refused_since
        watch.refused_since = None  # only refusals that follow each other count
        waits_for = self._unfenced(row)
        if waits_for is not None:
            self._explain(row, waits_for)
            return
        attempt = place_attempt(spec, row.adopt_from)
        desk.boundary("intent")
        if not any(attempt.path(name).exists() for name in _SIGNS):
            try:
                desk.jobs.submit(seed_request(spec, desk.settings.runtime_env))
            except JobRefused as error:
                self._refused(row, error, refused_since)
                return
            except JobsUnreachable:
                desk.observer.call_failed("submit")
                raise
        desk.boundary("reply")
        with desk.store.write() as c:
            attempts.move(c, row, State.SUBMITTED, now=desk.clock(), reason=None)
        desk.boundary("reply_commit")

    def _refused(self, row: AttemptRow, error: JobRefused, since: float | None) -> None:
        desk, now, why = self.desk, self.desk.clock(), _first_line(error)
        desk.observer.call_failed("submit")
        desk.watch(row).refused_since = since = now if since is None else since
        if isinstance(error, JobTaken) or now - since >= desk.settings.limits.refused_s:
            self.endings.without_numbers(row, State.FAILED, f"its job was not accepted: {why}", fenced=False)
        else:
            self._explain(row, f"its job was refused and is submitted again: {why}")

    def _unfenced(self, row: AttemptRow) -> str | None:
        """Why an earlier attempt may still run (P7); None where none does. Its job is told to stop."""
        for number in range(row.attempt - 1, 0, -1):
            before = AttemptDir(self.desk.out / row.sweep, row.seed, number, self.desk.clock)
            name = job_id(row.sweep, row.seed, number)
            if not before.folder.is_dir():
                continue
            job = self.desk.jobs.info(name)
            if job is not None and not job.state.terminal:
                if not cancelled(before):
                    mark_cancelled(before)
                self.desk.jobs.stop(name)
                return f"attempt {number} is still {job.state} and was told to stop"
            if (job is None or not job.seen) and lives(before, self.desk.clock(), self.desk.settings.limits.stale_s):
                return f"attempt {number} still sends heartbeats"
        return None

    def _explain(self, row: AttemptRow, reason: str) -> None:
        if row.reason != reason:
            with self.desk.store.write() as c:
                attempts.explain(c, row, reason, now=self.desk.clock())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
