"""Sweeps in the store: taken in whole, prepared once, cancelled at once, reported when the last seed has ended."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from api.store import Store, UnknownSweep, attempts, events, sweeps
from api.store.rows import Ending, Pool, SweepRow
from recur.errors import InputError
from recur.record.result import State
from tests.api.store.kit import HOUR_S, current, drive, drive_seed, new_sweep, put


def test_a_new_sweep_has_one_queued_attempt_a_seed_and_the_event_created(store: Store) -> None:
    given = new_sweep("mine-1", seeds=(7, 2**32 - 1, 0), priority=3, baseline="1394", created_by="k1", request_id="r1")
    with store.write() as c:
        made = sweeps.create(c, given, ageing_s=HOUR_S)
    with store.read() as c:
        assert sweeps.get(c, "mine-1") == made
        rows = attempts.current(c, "mine-1")
        said = events.since(c, "mine-1", 0, 10)
    assert (made.overrides, made.recipe, made.seeds) == ({"train.steps": 50}, {"train": {"steps": 50}}, (7, 2**32 - 1, 0))
    assert (made.baseline, made.created_by, made.request_id, made.event_count, made.version) == ("1394", "k1", "r1", 1, 1)
    assert [(r.seed, r.attempt, r.state, r.job_id, r.current) for r in rows] == [
        (seed, 1, State.QUEUED, f"mine-1-s{seed}-a1", True) for seed in (7, 2**32 - 1, 0)
    ]
    assert {r.rank for r in rows} == {1000.0 - 3 * HOUR_S}
    assert [(e.number, e.kind, e.data["seeds"]) for e in said] == [(1, "created", [7, 2**32 - 1, 0])]


def test_a_name_that_makes_no_job_id_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(InputError, match="job id"), store.write() as c:
        sweeps.create(c, new_sweep("No good"), ageing_s=HOUR_S)
    with store.read() as c:
        assert sweeps.get(c, "No good") is None


def test_an_id_is_taken_once(store: Store) -> None:
    put(store)
    with pytest.raises(IntegrityError), store.write() as c:
        sweeps.create(c, new_sweep(), ageing_s=HOUR_S)


def test_unprepared_sweeps_come_in_the_order_of_the_queue(store: Store) -> None:
    put(store, "late", ready=False, created_at=1500.0)
    put(store, "early", ready=False, created_at=1000.0)
    put(store, "urgent", ready=False, created_at=1600.0, priority=1)
    put(store, "ready", created_at=1.0)
    put(store, "stopped", ready=False, created_at=2.0)
    put(store, "failed", ready=False, created_at=3.0, seeds=(1,))
    with store.write() as c:
        sweeps.cancel_asked(c, "stopped", now=1700.0)
        assert attempts.move(c, current(c, "failed", 1), State.FAILED, now=1700.0, reason="no data")
    with store.read() as c:
        assert [s.sweep for s in sweeps.unprepared(c, 10)] == ["urgent", "early", "late"]
        assert [s.sweep for s in sweeps.unprepared(c, 1)] == ["urgent"]


def test_a_sweep_whose_data_failed_is_prepared_again_after_a_retry(store: Store) -> None:
    put(store, ready=False, seeds=(1,))
    with store.write() as c:
        assert attempts.move(c, current(c, "a-1", 1), State.FAILED, now=1700.0, reason="no data")
        attempts.retry(c, "a-1", 1, now=1800.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
    with store.read() as c:
        assert [s.sweep for s in sweeps.unprepared(c, 10)] == ["a-1"]


def test_preparing_is_noted_once_and_not_for_a_cancelled_sweep(store: Store) -> None:
    put(store, ready=False)
    put(store, "b-1", ready=False)
    facts: dict[str, Any] = {"fingerprint": "f1", "dataset_root": "/data/d", "note": "one GPU", "recipe": {"a": 1}, "now": 1001.0}
    with store.write() as c:
        row = sweeps.prepared(c, "a-1", **facts)
        assert row is not None
        assert (row.fingerprint, row.dataset_root, row.note, row.recipe, row.prepared_at) == (
            "f1",
            "/data/d",
            "one GPU",
            {"a": 1},
            1001.0,
        )
        assert sweeps.prepared(c, "a-1", **facts) is None
        sweeps.cancel_asked(c, "b-1", now=1000.5)
        assert sweeps.prepared(c, "b-1", **facts) is None
    with store.read() as c:
        assert [e.kind for e in events.since(c, "a-1", 0, 10)] == ["created", "prepared"]


def test_a_cancel_ends_queued_seeds_at_once_and_asks_the_others_to_end(store: Store) -> None:
    put(store, seeds=(1, 2, 3, 4, 5))
    drive_seed(store, "a-1", 2, State.SUBMITTING)
    drive_seed(store, "a-1", 3, State.RUNNING)
    drive_seed(store, "a-1", 4, State.SUCCEEDED)
    with store.write() as c:
        attempts.move(c, drive(c, current(c, "a-1", 5), State.RUNNING), State.CANCELLING, now=1.0, ending=Ending.TIMEOUT)
        row = sweeps.cancel_asked(c, "a-1", now=2000.0)
        states = {r.seed: (r.state, r.ending) for r in attempts.current(c, "a-1")}
        kinds = [e.kind for e in events.since(c, "a-1", row.event_count - 4, 10)]
        again = sweeps.cancel_asked(c, "a-1", now=3000.0)
    assert row.cancelled_at == 2000.0 and again == row
    assert kinds == ["cancel_asked", "state", "state", "state"]
    assert states == {
        1: (State.CANCELLED, Ending.CANCEL),
        2: (State.CANCELLING, Ending.CANCEL),
        3: (State.CANCELLING, Ending.CANCEL),
        4: (State.SUCCEEDED, None),
        5: (State.CANCELLING, Ending.TIMEOUT),
    }


def test_a_cancel_of_an_unknown_sweep_is_refused(store: Store) -> None:
    with pytest.raises(UnknownSweep), store.write() as c:
        sweeps.cancel_asked(c, "nobody", now=1.0)


def get(c: Connection, sweep: str) -> SweepRow:
    found = sweeps.get(c, sweep)
    assert found is not None
    return found


def test_a_report_is_due_when_every_seed_has_ended_and_again_after_a_retry(store: Store) -> None:
    put(store, seeds=(1, 2))
    put(store, "unprepared", ready=False, seeds=(1,))
    drive_seed(store, "a-1", 1, State.SUCCEEDED)
    with store.write() as c:
        sweeps.cancel_asked(c, "unprepared", now=1.0)
        assert sweeps.unreported(c, 10) == ()
        begun = get(c, "a-1")
        assert sweeps.reported(c, begun, record_path=None, warning=None, now=1.0) is None
        drive(c, current(c, "a-1", 2), State.FAILED)
        assert [s.sweep for s in sweeps.unreported(c, 10)] == ["a-1"]
        row = sweeps.reported(c, begun, record_path="record", warning="one seed failed", now=2000.0)
        assert row is not None and (row.record_path, row.warning, row.reported_at) == ("record", "one seed failed", 2000.0)
        assert sweeps.unreported(c, 10) == ()
        attempts.retry(c, "a-1", 2, now=2100.0, ageing_s=HOUR_S, adopt_from=None, automatic=None)
        open_again = sweeps.get(c, "a-1")
        assert open_again is not None and open_again.reported_at is None
        drive(c, current(c, "a-1", 2), State.SUCCEEDED)
        assert [s.sweep for s in sweeps.unreported(c, 10)] == ["a-1"]
        assert sweeps.reported(c, begun, record_path=None, warning=None, now=2200.0) is None


def test_letters_and_numbers_that_a_database_refuses_are_replaced_on_both(store: Store) -> None:
    put(store, seeds=(1,), overrides={"data.text": "nul\x00 and \ud800 and emoji 🐢"})
    with store.write() as c:
        row = drive(c, current(c, "a-1", 1), State.RUNNING)
        attempts.beat(c, row, phase="train", progress={"loss": float("nan"), "mfu": float("inf"), "step": 3}, now=1.0, say=True)
        assert attempts.move(c, row, State.FAILED, now=2.0, reason="cut \x00 off \udfff")
    with store.read() as c:
        after = current(c, "a-1", 1)
        sweep = sweeps.get(c, "a-1")
    assert (after.reason, after.progress) == ("cut \ufffd off ?", {"loss": None, "mfu": None, "step": 3})
    assert sweep is not None and sweep.overrides == {"data.text": "nul\ufffd and ? and emoji 🐢"}


def test_pools_are_kept(store: Store) -> None:
    put(store, pool=Pool.GPU)
    with store.read() as c:
        sweep = sweeps.get(c, "a-1")
        assert sweep is not None and sweep.pool is Pool.GPU
        assert {r.pool for r in attempts.current(c, "a-1")} == {Pool.GPU}
