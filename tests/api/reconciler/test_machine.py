"""The service's promises P2 to P10 as invariants over random lives: submissions, cancels, retries, restarts, jobs and faults.

The model is the truth about the jobs that the stub keeps (which processes live, which wrote a result), and what has been
asked for. The rules are small stories (a cancel beside a result, a job lost past all patience, one that comes back), because
single events would meet each other too seldom; `planted` shows which bugs they find. A rule that finds nothing to act on does
nothing: an assumption would throw the whole life away. Not modelled: a job system that loses a job which it has accepted, not
answered for, and not started yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from api.store import attempts
from api.store.rows import AttemptRow, Pool
from cluster.job_client import JobState
from cluster.outcome import cancelled
from recur.errors import DataError
from recur.record.result import State
from tests.api.reconciler.kit import Bench, quick_folder
from tests.api.stub_jobs import Job
from tests.api.volume import measured, volume

SLOTS = 2
COUNTS = {"examples": 0, "steps": 0, "attempts": 0}

QUICK = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)


class Life(RuleBasedStateMachine):
    """One database, one output folder, one job system, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.held = quick_folder()
        self.bench = Bench(self.held.__enter__(), cpu_slots=SLOTS)
        self.sweeps: list[str] = []
        self.ended: dict[str, tuple[State, Any]] = {}
        self.was_cancelled: set[str] = set()
        self.results: dict[str, State] = {}
        self.back: set[str] = set()
        COUNTS["examples"] += 1

    def teardown(self) -> None:
        self.bench.stub.turn(away=False, refusals=0, drop_replies=0, errors=0, deaf=False)
        for _ in range(60):
            for job in self.bench.stub.jobs():
                self.bench.stub.start(job.job_id)
                self._finish(job.job_id, State.SUCCEEDED)
            self._tick(5.0)
            if all(row.state.terminal for row in self._rows()):
                break
        self._promises()
        stuck = [row for row in self._rows() if not row.state.terminal]
        assert not stuck, f"P5: never ended: {[(row.job_id, row.state, row.reason) for row in stuck]}"
        assert all(row.reason for row in self._rows() if row.state is not State.SUCCEEDED), "P5: an end without a reason"
        COUNTS["attempts"] += len(self._rows())
        self.bench.store.close()
        self.held.__exit__(None, None, None)

    @initialize(seeds=st.integers(1, 3))
    def first(self, seeds: int) -> None:
        self.submit(seeds)
        self.tick(1.0, 3)
        for job in self.bench.stub.jobs():
            self.bench.stub.start(job.job_id)

    @precondition(lambda self: len(self.sweeps) < 4)
    @rule(seeds=st.integers(1, 3), mishap=st.sampled_from([None, None, "drop_replies", "refusals"]))
    def submit(self, seeds: int, mishap: str | None = None) -> None:
        if mishap is not None:
            self.bench.stub.turn(**{mishap: 1})
        name = f"w{len(self.sweeps)}"
        self.sweeps.append(name)
        self.bench.submit(name, *range(seeds))

    @rule(data=st.data(), results=st.booleans())
    def cancel(self, data: st.DataObject, results: bool) -> None:
        """Jobs may write their results before they hear of it."""
        name = data.draw(st.sampled_from(self.sweeps))
        live = {row.job_id for row in self._rows() if row.sweep == name and not row.state.terminal and row.current}
        self.was_cancelled |= live
        self.bench.cancel(name)
        for job in self.bench.stub.jobs():
            if results and job.job_id in live:
                self._finish(job.job_id, State.SUCCEEDED)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ended = [row for row in self._rows() if row.current and row.state.terminal and row.attempt < 4]
        if not ended:
            return
        row = data.draw(st.sampled_from(ended))
        self.bench.retry(row.sweep, row.seed)

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, 5.0, 31.0, 70.0]), times=st.integers(1, 3))
    def tick(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self._tick(seconds)

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    @rule(data=st.data(), what=st.sampled_from(["start", "start", "finish", "finish", "invalid", "damage", "fail", "crash"]))
    def job(self, data: st.DataObject, what: str) -> None:
        alive = [job.job_id for job in self.bench.stub.jobs() if job.alive]
        if not alive:
            return
        one = data.draw(st.sampled_from(alive))
        stub = self.bench.stub
        if what == "fail":
            stub.fail(one, error=DataError("shard", "is cut", "fetch it again"))
        elif what == "crash":
            stub.fail(one)
        elif what in ("finish", "invalid"):
            self._finish(one, State.SUCCEEDED if what == "finish" else State.INVALID)
        elif what == "damage":
            self._damage(one)
        else:
            stub.start(one)

    @rule(data=st.data(), what=st.sampled_from(["forget", "lie", "hang"]))
    def job_fault(self, data: st.DataObject, what: str) -> None:
        one, stub = self._told(data), self.bench.stub
        if one is None:
            return
        if what == "hang":
            self._finish(one, State.SUCCEEDED, exits=False)
        elif what == "forget":
            stub.forget(one)
        elif not self._job(one).state.terminal:
            stub.lie(one)
        self._tick(1.0)

    @rule(data=st.data(), ends=st.booleans(), again=st.booleans())
    def lose(self, data: st.DataObject, ends: bool, again: bool) -> None:
        """The system forgets a job for longer than anybody's patience, and perhaps its successor too."""
        one = self._told(data)
        if one is None:
            return
        for name in (one, one.replace("-a1", "-a2")) if again else (one,):
            job = self.bench.stub.job(name)
            if job is not None and job.known and name in self._answered():
                self.bench.stub.forget(name, ends=ends or name != one)
                self._tick(1.0)
                self._tick(70.0)

    @rule(data=st.data(), deaf=st.booleans())
    def come_back(self, data: st.DataObject, deaf: bool) -> None:
        """A job that was given up runs after all, and its seed is tried again."""
        alive = {job.job_id for job in self.bench.stub.jobs() if job.alive}
        rows = self._rows()
        quiet = [
            one for one in rows if one.current and one.state.terminal and one.attempt < 4 and not self._alive(one, rows, alive)
        ]
        lost = [(one, row) for one in quiet for row in rows if self._same_seed(one, row) and row.state is State.LOST]
        if not lost:
            return
        last, row = data.draw(st.sampled_from(lost))
        job = self._job(row.job_id)
        self.bench.stub._put(replace(job, known=True, alive=True, state=JobState.RUNNING, stage=max(job.stage, 0)))
        self.back.add(row.job_id)
        self.bench.stub.turn(deaf=deaf)
        self.bench.retry(last.sweep, last.seed)
        self._tick(1.0)

    @rule(knob=st.sampled_from(["away", "deaf"]), on=st.sampled_from([False, False, True]))
    def outage(self, knob: str, on: bool) -> None:
        self.bench.stub.turn(**{knob: on})

    @rule(knob=st.sampled_from(["refusals", "drop_replies", "errors"]), count=st.integers(1, 3))
    def mishaps(self, knob: str, count: int) -> None:
        self.bench.stub.turn(**{knob: count})

    @invariant()
    def promises(self) -> None:
        COUNTS["steps"] += 1
        self._promises()

    def _promises(self) -> None:
        rows, jobs = self._rows(), {job.job_id: job for job in self.bench.stub.jobs()}
        accepted = self.bench.stub.accepted()
        assert len(accepted) == len(set(accepted)), "P3: a job was accepted twice"
        assert set(accepted) <= {row.job_id for row in rows}, "P3: a job that belongs to no attempt"
        current = [(row.sweep, row.seed) for row in rows if row.current]
        assert len(current) == len(set(current)), "P3: two attempts of a seed count"
        self._one_at_a_time(list(jobs.values()))
        with self.bench.store.read() as c:
            assert attempts.held(c, Pool.CPU) <= SLOTS, "P8: more seeds than slots"
        for row in rows:
            self._final(row)
            if row.state.terminal:
                self._true_end(row, jobs.get(row.job_id))

    def _final(self, row: AttemptRow) -> None:
        if row.job_id in self.ended:
            assert (row.state, row.result) == self.ended[row.job_id], "P4: a terminal state changed"
        elif row.state.terminal:
            self.ended[row.job_id] = (row.state, row.result)

    def _true_end(self, row: AttemptRow, job: Job | None) -> None:
        counts = row.state in (State.SUCCEEDED, State.INVALID)
        assert (row.result is not None) is counts
        if row.job_id in self.was_cancelled:
            assert not counts, "P9: a cancelled seed counts"
        if counts:
            assert self.results.get(row.job_id) is row.state, "P10: a result that no job wrote"
            return
        if job is not None and job.alive and row.job_id not in self.back:
            marked = cancelled(self.bench.stub.attempt(job))
            assert job.stage < 0, f"P6, P7: {row.state} ({row.reason}) while its job runs"
            assert marked, "P7: a job that has not started would run"

    def _one_at_a_time(self, jobs: list[Job]) -> None:
        running = [
            job.job_id.rsplit("-a", 1)[0] for job in jobs if job.alive and job.stage >= 0 and job.job_id not in self.results
        ]
        assert len(running) == len(set(running)), "P7: two attempts of a seed run"

    def _damage(self, name: str) -> None:
        """A job writes its result, and a bit of its artifact flips before anybody has looked."""
        if name not in self.results and self._job(name).stage >= 0:
            self._finish(name, State.SUCCEEDED)
            path = self.bench.stub.attempt(self._job(name)).path("artifact.ptz")
            path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
            self.results[name] = State.FAILED

    def _told(self, data: st.DataObject) -> str | None:
        """A job that the system knows and has answered for, if there is one."""
        told = self._answered()
        some = [job.job_id for job in self.bench.stub.jobs() if job.known and job.job_id in told]
        return data.draw(st.sampled_from(some)) if some else None

    def _answered(self) -> set[str]:
        """Jobs whose submission was answered, and attempts that have ended."""
        return {row.job_id for row in self._rows() if row.state is not State.SUBMITTING}

    @staticmethod
    def _same_seed(one: AttemptRow, other: AttemptRow) -> bool:
        return (one.sweep, one.seed) == (other.sweep, other.seed)

    def _alive(self, one: AttemptRow, rows: list[AttemptRow], alive: set[str]) -> bool:
        return any(row.job_id in alive for row in rows if self._same_seed(one, row))

    def _finish(self, name: str, state: State, *, exits: bool = True) -> None:
        job = self._job(name)
        if job.alive and job.stage >= 0 and name not in self.results:
            self.bench.stub.finish(name, state, exits=exits)
            self.results[name] = state
        elif job.alive and name in self.results:
            self.bench.stub.exit(name)

    def _tick(self, seconds: float) -> None:
        self.bench.now += seconds
        for job in self.bench.stub.jobs():
            self.bench.stub.beat(job.job_id)
        before = len(self.bench.stub.accepted())
        self.bench.loop.tick()
        self._fenced(self.bench.stub.accepted()[before:])

    def _fenced(self, accepted: list[str]) -> None:
        runs = {job.job_id.rsplit("-a", 1)[0]: job.job_id for job in self.bench.stub.jobs() if job.alive and job.stage >= 0}
        for name in accepted:
            other = runs.get(name.rsplit("-a", 1)[0])
            assert other is None, f"P7: {name} was submitted while {other} runs"

    def _job(self, name: str) -> Job:
        found = self.bench.stub.job(name)
        assert found is not None
        return found

    def _rows(self) -> list[AttemptRow]:
        with self.bench.store.read() as c:
            return [row for name in self.sweeps for row in attempts.history(c, name)]


@pytest.mark.service
@pytest.mark.timeout(6 * 3600)
def test_promises_hold_over_random_lives() -> None:
    lives, steps = volume(60, 2000, gate=15), volume(30, 50)
    COUNTS.update(examples=0, steps=0, attempts=0)
    run_state_machine_as_test(Life, settings=settings(QUICK, max_examples=lives, stateful_step_count=steps))
    assert COUNTS["examples"] >= lives
    measured("state_machine", {"asked": {"lives": lives, "steps": steps}, "done": COUNTS, "violations": 0})
