"""Bugs that the state machine must find: each is put into the running code while a test looks, and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from api.reconciler import ending, ingest, observing, submitting
from api.store import attempts
from cluster import policy
from cluster.job_client import JobsUnreachable
from cluster.launch import place_attempt, seed_request
from cluster.look import look
from cluster.outcome import RESULT_FILE
from cluster.policy import Verdict
from recur.record.attempt import folder

Plant = Callable[[pytest.MonkeyPatch], None]


def unseen_end_is_believed(patch: pytest.MonkeyPatch) -> None:
    """The job system says FAILED of a job that nobody saw end, and that is the end."""
    patch.setattr(policy, "_has_ended", lambda *_: True)


def unknown_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A job that the system does not know is LOST, whatever its heartbeat says."""
    patch.setattr(policy, "_gone", lambda *_: True)


def ends_leave_no_mark(patch: pytest.MonkeyPatch) -> None:
    """An attempt ends, and its job may start later."""
    for module in (ending, observing, submitting):
        patch.setattr(module, "mark_cancelled", lambda _: None)


def cancelled_seed_succeeds(patch: pytest.MonkeyPatch) -> None:
    """A result that comes while a seed is being cancelled counts."""
    before = observing.Observing._cancelling

    def cancelling(self: Any, row: Any, round_: Any) -> None:
        attempt = self.desk.folder(row)
        if not attempt.path(RESULT_FILE).exists():
            before(self, row, round_)
            return
        found = look(attempt, self.desk.jobs.info(row.job_id), self.desk.watch(row).sight, self.desk.clock())
        if found.result is not None:
            self.endings.take_in(row, found, Verdict(state=found.result.state))

    patch.setattr(observing.Observing, "_cancelling", cancelling)
    patch.setattr(attempts, "check", lambda *_: None)


def lost_reply_starts_another_attempt(patch: pytest.MonkeyPatch) -> None:
    """No reply came, so the next attempt is submitted."""
    _after_a_lost_reply(patch, lambda self, spec: _submit(self, replace(spec, attempt=spec.attempt + 1), None))


def lost_reply_starts_another_job(patch: pytest.MonkeyPatch) -> None:
    """No reply came, so the same attempt is submitted under another id."""
    _after_a_lost_reply(patch, lambda self, spec: _submit(self, spec, "-again"))


def one_slot_too_many(patch: pytest.MonkeyPatch) -> None:
    """Seeds are admitted into one slot more than there are."""
    admit = attempts.admit
    patch.setattr(attempts, "admit", lambda c, pool, slots, **more: admit(c, pool, slots + 1, **more))


def retry_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    """A new attempt is submitted although the job of an earlier one is not gone."""
    patch.setattr(submitting.Submitting, "_unfenced", lambda *_: None)


def artifact_is_not_hashed(patch: pytest.MonkeyPatch) -> None:
    """A result counts whatever its artifact holds now."""
    patch.setattr(folder, "check_payload", lambda *_: None)
    patch.setattr(ingest, "check_seal", lambda *_: True)


def _after_a_lost_reply(patch: pytest.MonkeyPatch, then: Callable[[Any, Any], None]) -> None:
    before = submitting.Submitting._submit

    def submit(self: Any, row: Any, spec: Any) -> None:
        try:
            before(self, row, spec)
        except JobsUnreachable as error:
            if "reply" in str(error):
                then(self, spec)
            raise

    patch.setattr(submitting.Submitting, "_submit", submit)


def _submit(self: Any, spec: Any, suffix: str | None) -> None:
    place_attempt(spec, None)
    request = seed_request(spec, {})
    self.desk.jobs.submit(replace(request, job_id=request.job_id + (suffix or "")))


PLANTED: Mapping[str, Plant] = {
    plant.__name__: plant
    for plant in (
        unseen_end_is_believed,
        unknown_is_lost,
        ends_leave_no_mark,
        cancelled_seed_succeeds,
        lost_reply_starts_another_attempt,
        lost_reply_starts_another_job,
        one_slot_too_many,
        retry_does_not_wait,
        artifact_is_not_hashed,
    )
}
