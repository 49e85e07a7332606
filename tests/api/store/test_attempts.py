"""Attempts: allowed moves, one winner per change, slots counted where they are taken, retries, warnings, the queue's order."""

from __future__ import annotations

import itertools

import pytest

from api.store import ForbiddenMove, RetryRefused, Store, UnknownSweep, attempts, counts, events, sweeps
from api.store.rows import Ending, Pool
from api.store.transitions import ENDS_IN
from cluster.failure import Cause
from recur.record.result import State
from tests.api.store.kit import HOUR_S, RESULT, current, drive, drive_seed, new_sweep, numbers, prepare, put

TERMINAL = {s for s in State if s.terminal}
S = State
ALLOWED = {
    S.QUEUED: {S.SUBMITTING, S.CANCELLED, S.FAILED},
    S.SUBMITTING: {S.SUBMITTED, S.RUNNING, S.CANCELLING} | TERMINAL,
    S.SUBMITTED: {S.RUNNING, S.CANCELLING} | TERMINAL,
    S.RUNNING: {S.CANCELLING} | TERMINAL,
    S.CANCELLING: {S.CANCELLED},  # driven there by a cancel
}


def test_exactly_the_contract_s_moves_are_allowed(sqlite_store: Store) -> None:
    seeds = itertools.count(1)
    pairs = {(a, b): next(seeds) for a in State for b in State}
    put(sqlite_store, seeds=tuple(pairs.values()))
    with sqlite_store.write() as c:
        for (start, to), seed in pairs.items():
            row = drive(c, current(c, "a-1", seed), start)
            changes = {"ending": Ending.CANCEL} if to is State.CANCELLING else {}
            if to in ALLOWED.get(start, ()):
                moved = attempts.move(c, row, to, now=1.0, **changes)
                assert moved is not None and moved.state is to, (start, to)
            else:
                with pytest.raises(ForbiddenMove):
                    attempts.move(c, row, to, now=1.0, **changes)
                assert current(c, "a-1", seed) == row


@pytest.mark.parametrize("ending", Ending)
def test_what_is_being_ended_ends_as_its_ending_says(store: Store, ending: Ending) -> None:
    put(store, seeds=(1,))
    with store.write() as c:
        row = attempts.move(c, drive(c, current(c, "a-1", 1), S.RUNNING), S.CANCELLING, now=1.0, ending=ending, reason="why")
        assert row is not None
        for other in TERMINAL - {ENDS_IN[ending]}:
            with pytest.raises(ForbiddenMove):
                attempts.move(c, row, other, now=2.0)
        ended = attempts.move(c, row, ENDS_IN[ending], now=3.0)
    assert ended is not None and (ended.ending, ended.reason, ended.ended_at) == (ending, "why", 3.0)


def test_a_move_needs_the_row_as_it_is_now(store: Store) -> None:
    put(store, seeds=(1,))
    with store.write() as c:
        stale = current(c, "a-1", 1)
        fresh = attempts.move(c, stale, S.SUBMITTING, now=5.0)
        before = numbers(c, "a-1")
        assert attempts.move(c, stale, S.CANCELLED, now=6.0) is None
        assert attempts.explain(c, stale, "x", now=6.0) is None
        assert current(c, "a-1", 1) == fresh
        assert numbers(c, "a-1") == before


def test_moves_stamp_their_times_and_tell_their_story(store: Store) -> None:
    put(store, seeds=(1,))
    with store.write() as c:
        row = current(c, "a-1", 1)
        for to, now in ((S.SUBMITTING, 10.0), (S.SUBMITTED, 11.5), (S.RUNNING, 12.0)):
            moved = attempts.move(c, row, to, now=now)
            assert moved is not None
            row = moved
        done = attempts.move(
            c, row, S.SUCCEEDED, now=13.0, result=RESULT, gates=[{"name": "cap", "verdict": "pass"}], warning="odd"
        )
        said = list(events.since(c, "a-1", 2, 10))
    assert done is not None
    assert (done.queued_at, done.admitted_at, done.submitted_at, done.running_at, done.ended_at) == (
        1000.0,
        10.0,
        11.5,
        12.0,
        13.0,
    )
    assert (done.result, done.gates, done.warning, done.version) == (RESULT, ({"name": "cap", "verdict": "pass"},), "odd", 5)
    assert [(e.number, e.kind, e.seed, e.attempt, e.data["from"], e.data["state"], e.at) for e in said] == [
        (3, "state", 1, 1, "QUEUED", "SUBMITTING", 10.0),
        (4, "state", 1, 1, "SUBMITTING", "SUBMITTED", 11.5),
        (5, "state", 1, 1, "SUBMITTED", "RUNNING", 12.0),
        (6, "state", 1, 1, "RUNNING", "SUCCEEDED", 13.0),
    ]


def test_a_job_seen_running_first_was_submitted_by_then(store: Store) -> None:
    put(store, seeds=(1,))
    with store.write() as c:
        row = attempts.move(c, drive(c, current(c, "a-1", 1), S.SUBMITTING), S.RUNNING, now=20.0)
    assert row is not None and (row.submitted_at, row.running_at) == (20.0, 20.0)


def test_a_move_changes_only_what_moves_may_change(store: Store) -> None:
    put(store, seeds=(1,))
    with pytest.raises(ForbiddenMove, match="job_id"), store.write() as c:
        attempts.move(c, current(c, "a-1", 1), S.SUBMITTING, now=1.0, job_id="other")
    with pytest.raises(ForbiddenMove, match="ending"), store.write() as c:
        attempts.move(c, drive(c, current(c, "a-1", 1), S.RUNNING), S.CANCELLING, now=1.0)


def test_a_warning_reaches_an_ended_attempt_and_is_not_repeated(store: Store) -> None:
    put(store, seeds=(1,))
    row = drive_seed(store, "a-1", 1, S.SUCCEEDED)
    with store.write() as c:
        for text in ("late result refused", "late result refused", "second job seen"):
            attempts.warn(c, row, text, now=50.0)
        after = current(c, "a-1", 1)
        said = [e.data for e in events.since(c, "a-1", 0, 100) if e.kind == "warning"]
    assert after.warning == "late result refused; second job seen"
    assert (after.state, after.version) == (row.state, row.version)
    assert said == [{"warning": "late result refused"}, {"warning": "second job seen"}]


def test_heartbeats_are_kept_without_a_new_version_and_not_after_the_end(store: Store) -> None:
    put(store, seeds=(1,))
    row = drive_seed(store, "a-1", 1, S.RUNNING)
    with store.write() as c:
        attempts.beat(c, row, phase="train", progress={"step": 7}, now=1.0, say=False)
        attempts.beat(c, row, phase="train", progress={"step": 8}, now=2.0, say=True)
        after = current(c, "a-1", 1)
        assert (after.phase, after.progress, after.version) == ("train", {"step": 8}, row.version)
        assert attempts.move(c, row, S.FAILED, now=3.0, reason="cut")
        attempts.beat(c, row, phase="verify", progress={"step": 9}, now=4.0, say=True)
        assert current(c, "a-1", 1).progress == {"step": 8}
        assert [e.data["progress"] for e in events.since(c, "a-1", 0, 100) if e.kind == "progress"] == [{"step": 8}]


def test_an_open_attempt_says_why_it_stands_still_once(store: Store) -> None:
    put(store, seeds=(1,))
    row = drive_seed(store, "a-1", 1, S.CANCELLING)
    with store.write() as c:
        told = attempts.explain(c, row, "the job system is away", now=5.0)
        assert told is not None and told.reason == "the job system is away"
        assert attempts.explain(c, told, "the job system is away", now=6.0) == told
        assert events.since(c, "a-1", 0, 100)[-1].data["reason"] == "the job system is away"
        ended = attempts.move(c, told, S.CANCELLED, now=7.0, reason="cancelled")
        assert ended is not None
        with pytest.raises(ForbiddenMove):
            attempts.explain(c, ended, "other", now=8.0)


def test_a_retry_is_a_new_attempt_and_the_old_one_stays(store: Store) -> None:
    put(store, seeds=(1, 2), priority=2)
    drive_seed(store, "a-1", 1, S.FAILED)
    with store.write() as c:
        new = attempts.retry(c, "a-1", 1, now=5000.0, ageing_s=HOUR_S, adopt_from=1, automatic=None)
        assert (new.attempt, new.state, new.job_id, new.adopt_from, new.had.lost) == (2, S.QUEUED, "a-1-s1-a2", 1, 0)
        assert (new.queued_at, new.rank, new.result, new.reason) == (5000.0, 5000.0 - 2 * HOUR_S, None, None)
        assert [(r.seed, r.attempt, r.current) for r in attempts.history(c, "a-1")] == [(1, 1, False), (1, 2, True), (2, 1, True)]
        old = attempts.get(c, "a-1", 1, 1)
        assert old is not None and old.state is S.FAILED
        last = events.since(c, "a-1", 0, 100)[-1]
        assert (last.kind, last.seed, last.attempt, last.data["automatic"]) == ("retry", 1, 2, False)
        drive(c, new, S.LOST)
        third = attempts.retry(c, "a-1", 1, now=6000.0, ageing_s=HOUR_S, adopt_from=None, automatic=Cause.VANISHED)
        assert (third.attempt, third.had.lost) == (3, 1)


def test_a_seed_that_has_not_ended_cannot_be_retried(store: Store) -> None:
    put(store, seeds=(1,))
    for state in (S.QUEUED, S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.CANCELLING):
        with pytest.raises(RetryRefused, match=state), store.write() as c:
            drive(c, current(c, "a-1", 1), state)
            attempts.retry(c, "a-1", 1, now=1.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
    with pytest.raises(UnknownSweep), store.write() as c:
        attempts.retry(c, "a-1", 77, now=1.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)


def test_a_cancelled_sweep_revives_only_when_someone_asks(store: Store) -> None:
    put(store, seeds=(1,))
    drive_seed(store, "a-1", 1, S.LOST)
    with store.write() as c:
        sweeps.cancel_asked(c, "a-1", now=1.0)
    with pytest.raises(RetryRefused, match="cancelled"), store.write() as c:
        attempts.retry(c, "a-1", 1, now=2.0, ageing_s=HOUR_S, adopt_from=1, automatic=Cause.VANISHED)
    with store.write() as c:
        attempts.retry(c, "a-1", 1, now=3.0, ageing_s=HOUR_S, adopt_from=1, automatic=None)
        sweep = sweeps.get(c, "a-1")
        assert sweep is not None and sweep.cancelled_at is None
        assert len(attempts.admit(c, Pool.CPU, 1, now=4.0, limit=1)) == 1


def test_current_attempts_of_many_sweeps_come_in_one_call(store: Store) -> None:
    put(store, "a-1", seeds=(2, 1))
    put(store, "b-1", seeds=(1,))
    with store.read() as c:
        found = attempts.current_of(c, ["b-1", "nobody", "a-1"])
    assert {name: [r.seed for r in rows] for name, rows in found.items()} == {"b-1": [1], "nobody": [], "a-1": [2, 1]}


def test_an_unknown_attempt_is_none(store: Store) -> None:
    with store.read() as c:
        assert attempts.get(c, "a-1", 1, 1) is None
        assert attempts.current(c, "a-1") == ()


def test_counts_for_metrics(store: Store) -> None:
    with store.read() as c:
        assert counts.oldest_queued_at(c) is None
    put(store, "a-1", seeds=(1, 2, 3), created_at=70.0)
    put(store, "g-1", seeds=(1,), pool=Pool.GPU, created_at=60.0)
    drive_seed(store, "a-1", 1, S.FAILED)
    with store.write() as c:
        attempts.retry(c, "a-1", 1, now=80.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
        drive(c, current(c, "a-1", 2), S.RUNNING)
        drive(c, current(c, "g-1", 1), S.SUCCEEDED)
    with store.read() as c:
        assert {s: n for s, n in counts.states(c).items() if n} == {S.QUEUED: 2, S.RUNNING: 1, S.SUCCEEDED: 1}
        assert counts.queue_depth(c) == {Pool.CPU: 2, Pool.GPU: 0}
        assert counts.oldest_queued_at(c) == 70.0


def test_a_move_taken_back_leaves_neither_state_nor_event(store: Store) -> None:
    put(store, seeds=(1,))
    with store.read() as c:
        before = (current(c, "a-1", 1), numbers(c, "a-1"))
    with pytest.raises(KeyError), store.write() as c:
        drive(c, current(c, "a-1", 1), S.RUNNING)
        sweeps.create(c, new_sweep("b-1"), ageing_s=HOUR_S)
        prepare(c, "b-1")
        raise KeyError("on the way")
    with store.read() as c:
        assert (current(c, "a-1", 1), numbers(c, "a-1")) == before
        assert sweeps.get(c, "b-1") is None
