"""The state machine against a model: random sequences of everything the service does, checked after every step (P2 to P10).

The model is a dictionary of attempts and knows the contract's table of moves; the store is a real database.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from api.store import ForbiddenMove, RetryRefused, Store, attempts, counts, idempotency, sweeps
from api.store.rows import AttemptRow, Ending, Pool
from api.store.tables import metadata
from recur.record.result import State, worst
from tests.api.store.kit import HOUR_S, RESULT, current, new_sweep, numbers, prepare, volume
from tests.api.store.test_attempts import ALLOWED

HELD = {State.SUBMITTING, State.SUBMITTED, State.RUNNING, State.CANCELLING}
ENDS_IN = {Ending.CANCEL: State.CANCELLED, Ending.TIMEOUT: State.TIMED_OUT, Ending.FAULT: State.FAILED}
SLOTS = 3
SEEDS = st.integers(0, 2)


@dataclass
class Seat:
    """What the model knows of a seed."""

    states: list[State] = field(default_factory=lambda: [State.QUEUED])
    ending: Ending | None = None
    warnings: list[str] = field(default_factory=list)
    lost: int = 0

    @property
    def state(self) -> State:
        return self.states[-1]


@dataclass
class Modelled:
    """What the model knows of a sweep."""

    seats: dict[int, Seat]
    prepared: bool = False
    cancelled: bool = False
    reported: bool = False
    events: int = 1


class Machine(RuleBasedStateMachine):
    """Each rule does one thing to both; `same` compares them."""

    store: Store
    names: Bundle[str] = Bundle("names")
    rows: Bundle[AttemptRow] = Bundle("rows")

    @initialize()
    def empty(self) -> None:
        self.model: dict[str, Modelled] = {}
        self.now = 1000.0
        with self.store.write() as c:
            for table in reversed(metadata.sorted_tables):
                c.execute(delete(table))

    @rule(target=names, key=st.integers(0, 5), pool_priority=st.integers(-1, 1))
    def submit(self, key: int, pool_priority: int) -> str:
        """A repeated key makes nothing (P2)."""
        name = f"s-{len(self.model)}"
        with self.store.write() as c:
            kept = idempotency.lookup(c, "ann", f"k{key}")
            if kept is not None:
                return kept.sweep
            new = new_sweep(name, seeds=(0, 1, 2), priority=pool_priority, created_at=self.tick())
            sweeps.create(c, new, ageing_s=HOUR_S)
            idempotency.keep(c, "ann", f"k{key}", "sha", name, now=self.now)
        self.model[name] = Modelled(seats={seed: Seat() for seed in (0, 1, 2)})
        return name

    @rule(name=names)
    def make_ready(self, name: str) -> None:
        known = self.model[name]
        with self.store.write() as c:
            if known.prepared or known.cancelled:
                assert sweeps.prepared(c, name, fingerprint="", dataset_root="", note="", recipe={}, now=self.tick()) is None
                return
            prepare(c, name)
        known.prepared, known.events = True, known.events + 1

    @rule(limit=st.integers(1, 4))
    def admit(self, limit: int) -> None:
        """P8: as many as slots are free, and in the order of the queue."""
        held = sum(seat.state in HELD for _, _, seat in self.seats())
        with self.store.write() as c:
            expected = attempts.queued(c, Pool.CPU, max(0, min(SLOTS - held, limit)), prepared_only=True)
            got = attempts.admit(c, Pool.CPU, SLOTS, now=self.tick(), limit=limit)
        assert [r.job_id for r in got] == [r.job_id for r in expected]
        for row in got:
            assert self.model[row.sweep].prepared
            self.moved(row, State.SUBMITTING)

    @rule(target=rows, name=names, seed=SEEDS)
    def look(self, name: str, seed: int) -> AttemptRow:
        """A row that may be stale by the time it is used."""
        with self.store.read() as c:
            return current(c, name, seed)

    @rule(row=rows, to=st.sampled_from(State), ending=st.sampled_from(Ending))
    def move_what_was_seen(self, row: AttemptRow, to: State, ending: Ending) -> None:
        self.move(row, to, ending)

    @rule(name=names, seed=SEEDS, to=st.sampled_from(State), ending=st.sampled_from(Ending))
    def move_what_is(self, name: str, seed: int, to: State, ending: Ending) -> None:
        with self.store.read() as c:
            row = current(c, name, seed)
        self.move(row, to, ending)

    @rule(name=names)
    def cancel(self, name: str) -> None:
        """P9: no seed stays queued or goes on as if nothing were."""
        known = self.model[name]
        with self.store.write() as c:
            sweeps.cancel_asked(c, name, now=self.tick())
        known.events += not known.cancelled
        known.cancelled = True
        for seat in known.seats.values():
            if seat.state is State.QUEUED:
                seat.states[-1], seat.ending, known.events = State.CANCELLED, Ending.CANCEL, known.events + 1
            elif seat.state in HELD - {State.CANCELLING}:
                seat.states[-1], seat.ending, known.events = State.CANCELLING, Ending.CANCEL, known.events + 1

    @rule(name=names, seed=SEEDS, automatic=st.booleans())
    def retry(self, name: str, seed: int, automatic: bool) -> None:
        known = self.model[name]
        seat = known.seats[seed]
        refused = not seat.state.terminal or (automatic and known.cancelled)
        try:
            with self.store.write() as c:
                row = attempts.retry(c, name, seed, now=self.tick(), ageing_s=HOUR_S, adopt_from=None, automatic=automatic)
        except RetryRefused:
            assert refused
            return
        assert not refused and row.attempt == len(seat.states) + 1
        seat.states.append(State.QUEUED)
        seat.ending, seat.warnings, seat.lost = None, [], seat.lost + automatic
        known.cancelled = known.reported = False
        known.events += 1

    @rule(row=consumes(rows), word=st.sampled_from(["late", "odd", "twice"]))
    def warn(self, row: AttemptRow, word: str) -> None:
        """P4: a warning is all that reaches an ended attempt."""
        with self.store.write() as c:
            before = attempts.get(c, row.sweep, row.seed, row.attempt)
            attempts.warn(c, row, word, now=self.tick())
        assert before is not None
        if word not in (before.warning or ""):
            self.model[row.sweep].events += 1
            if before.current:
                self.model[row.sweep].seats[row.seed].warnings.append(word)

    @rule(row=rows, step=st.integers(0, 9), say=st.booleans())
    def beat(self, row: AttemptRow, step: int, say: bool) -> None:
        states = self.model[row.sweep].seats[row.seed].states
        with self.store.write() as c:
            attempts.beat(c, row, phase="train", progress={"step": step}, now=self.tick(), say=say)
        self.model[row.sweep].events += say and states[row.attempt - 1] in HELD

    @rule(name=names)
    def report(self, name: str) -> None:
        known = self.model[name]
        ended = all(seat.state.terminal for seat in known.seats.values())
        with self.store.write() as c:
            due = name in [s.sweep for s in sweeps.unreported(c, 100)]
            done = sweeps.reported(c, name, record_path=None, warning=None, now=self.tick())
        assert due == (ended and known.prepared and not known.reported)
        assert (done is not None) == (ended and not known.reported)
        known.events += done is not None
        known.reported = known.reported or done is not None

    @invariant()
    def same(self) -> None:
        """P3, P4, P5, P8: one current attempt a seed, ended ones as they were, slots and events as counted."""
        with self.store.read() as c:
            for name, known in self.model.items():
                self.same_sweep(c, name, known)
            lines = sweeps.listed(c, limit=200, after=None, state=None, sort="name").lines
            assert {line.id: line.state for line in lines} == {n: worst(self.states(n)) for n in self.model}
            held = [seat for _, _, seat in self.seats() if seat.state in HELD]
            assert attempts.held(c, Pool.CPU) == len(held) == len(attempts.open_ones(c))
            total = counts.states(c)
            assert total == {s: sum(seat.state is s for _, _, seat in self.seats()) for s in State}
            waiting = [n for n, known in self.model.items() if not known.prepared and not known.cancelled]
            unprepared = {n for n in waiting if State.QUEUED in self.states(n)}
            assert {s.sweep for s in sweeps.unprepared(c, 100)} == unprepared

    def same_sweep(self, c: object, name: str, known: Modelled) -> None:
        assert numbers(c, name) == list(range(1, known.events + 1))  # type: ignore[arg-type]
        history = attempts.history(c, name)  # type: ignore[arg-type]
        for seed, seat in known.seats.items():
            mine = [r for r in history if r.seed == seed]
            assert [r.state for r in mine] == seat.states
            assert [r.current for r in mine] == [False] * (len(mine) - 1) + [True]
            assert (mine[-1].ending, mine[-1].lost) == (seat.ending, seat.lost)
            assert (mine[-1].warning or "") == "; ".join(seat.warnings)

    def move(self, row: AttemptRow, to: State, ending: Ending) -> None:
        changes: dict[str, object] = {"ending": ending} if to is State.CANCELLING else {}
        if to is State.SUCCEEDED:
            changes = {"result": RESULT}
        allowed = (
            to in ALLOWED.get(row.state, ()) if row.state is not State.CANCELLING else row.ending and to is ENDS_IN[row.ending]
        )
        seat = self.model[row.sweep].seats[row.seed]
        try:
            with self.store.write() as c:
                now = attempts.get(c, row.sweep, row.seed, row.attempt)
                moved = attempts.move(c, row, to, now=self.tick(), **changes)
        except ForbiddenMove:
            assert not allowed
            return
        assert allowed and now is not None
        assert (moved is not None) == (now.version == row.version)
        if moved is not None:
            assert row.attempt == len(seat.states)
            self.moved(row, to)
            seat.ending = ending if to is State.CANCELLING else seat.ending

    def moved(self, row: AttemptRow, to: State) -> None:
        self.model[row.sweep].seats[row.seed].states[row.attempt - 1] = to
        self.model[row.sweep].events += 1

    def seats(self) -> list[tuple[str, int, Seat]]:
        return [(name, seed, seat) for name, known in self.model.items() for seed, seat in known.seats.items()]

    def states(self, name: str) -> list[State]:
        return [seat.state for seat in self.model[name].seats.values()]

    def tick(self) -> float:
        self.now += 1.0
        return self.now


def run(store: Store, examples: int, steps: int) -> None:
    """So many random sequences of so many steps; the same ones every time."""
    machine = type("StoreMachine", (Machine,), {"store": store})
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=health,
        derandomize=True,
        database=None,
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_random_sequences_agree_with_the_model(store: Store) -> None:
    run(store, 6, 30)


@pytest.mark.service
def test_many_random_sequences_agree_with_the_model(sqlite_store: Store) -> None:
    run(sqlite_store, volume(60, 2000), 50)


@pytest.mark.service
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_many_random_sequences_agree_with_the_model_on_postgres(store: Store) -> None:
    run(store, volume(20, 500), 50)
