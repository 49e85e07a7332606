"""What the service does, done to the store and to a model of it: a dictionary of attempts that knows the contract's moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.store import ForbiddenMove, Store, attempts, idempotency, sweeps
from api.store.rows import AttemptRow, Ending, Pool
from recur.record.result import State
from tests.api.store.kit import HOUR_S, RESULT, current, new_sweep, prepare
from tests.api.store.test_attempts import ALLOWED

HELD = {State.SUBMITTING, State.SUBMITTED, State.RUNNING, State.CANCELLING}
ENDS_IN = {Ending.CANCEL: State.CANCELLED, Ending.TIMEOUT: State.TIMED_OUT, Ending.FAULT: State.FAILED}
SLOTS = 2
FORWARD = [State.SUBMITTED, State.RUNNING, State.SUCCEEDED]


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


class Steps:
    """Each step does one thing to both and compares what the store answers.

    Attributes:
        store: a real database.
        model: what it should hold, by sweep.
        now: the clock, seconds.
    """

    store: Store
    model: dict[str, Modelled]
    now: float

    def put(self, key: int, priority: int) -> str:
        """A repeated key makes nothing (P2)."""
        name = f"s-{len(self.model)}"
        with self.store.write() as c:
            kept = idempotency.lookup(c, "ann", f"k{key}")
            if kept is not None:
                return kept.sweep
            new = new_sweep(name, seeds=(0, 1, 2), priority=priority, created_at=self.tick())
            sweeps.create(c, new, ageing_s=HOUR_S)
            idempotency.keep(c, "ann", f"k{key}", "sha", name, now=self.now)
        self.model[name] = Modelled(seats={seed: Seat() for seed in (0, 1, 2)})
        return name

    def prepare(self, name: str) -> None:
        known = self.model[name]
        with self.store.write() as c:
            if known.prepared or known.cancelled:
                assert sweeps.prepared(c, name, fingerprint="", dataset_root="", note="", recipe={}, now=self.tick()) is None
                return
            prepare(c, name)
        known.prepared, known.events = True, known.events + 1

    def admitted(self, limit: int) -> tuple[AttemptRow, ...]:
        """P8: as many as slots are free, and in the order of the queue; the rows as they were before."""
        free = SLOTS - self.held()
        with self.store.write() as c:
            expected = attempts.queued(c, Pool.CPU, max(0, min(free, limit)), prepared_only=True)
            got = attempts.admit(c, Pool.CPU, SLOTS, now=self.tick(), limit=limit)
        assert [r.job_id for r in got] == [r.job_id for r in expected]
        for row in got:
            assert self.model[row.sweep].prepared
            self.moved(row, State.SUBMITTING)
        return expected

    def read(self, name: str, seed: int) -> AttemptRow:
        with self.store.read() as c:
            return current(c, name, seed)

    def explained(self, row: AttemptRow, reason: str | None) -> None:
        try:
            with self.store.write() as c:
                now = attempts.get(c, row.sweep, row.seed, row.attempt)
                said = attempts.explain(c, row, reason, now=self.tick())
        except ForbiddenMove:
            assert row.state.terminal
            return
        assert now is not None and not row.state.terminal
        if reason == row.reason:
            assert said == row
            return
        assert (said is not None) == (now.version == row.version)
        self.model[row.sweep].events += said is not None

    def move_legally(self, row: AttemptRow, choice: int, ending: Ending) -> None:
        """An allowed move, half of the time the one forward; without any, one that must be refused."""
        legal = [to for to in State if legal_move(row, to)] or list(State)
        onward = [to for to in FORWARD if to in legal] or legal
        self.move(row, onward[0] if choice >= 8 else legal[choice % len(legal)], ending)

    def move(self, row: AttemptRow, to: State, ending: Ending) -> None:
        with self.store.read() as c:
            now = attempts.get(c, row.sweep, row.seed, row.attempt)
        assert now is not None
        fresh = now.version == row.version
        if fresh and row.state is State.QUEUED and to is State.SUBMITTING:
            return  # only an admission does that
        changes: dict[str, object] = {"ending": ending} if to is State.CANCELLING else {}
        if to is State.SUCCEEDED:
            changes = {"result": RESULT}
        try:
            with self.store.write() as c:
                moved = attempts.move(c, row, to, now=self.tick(), **changes)
        except ForbiddenMove:
            assert not legal_move(row, to)
            return
        assert legal_move(row, to)
        assert (moved is not None) == fresh
        if moved is not None:
            seat = self.model[row.sweep].seats[row.seed]
            assert row.attempt == len(seat.states)
            self.moved(row, to)
            seat.ending = ending if to is State.CANCELLING else seat.ending

    def moved(self, row: AttemptRow, to: State) -> None:
        self.model[row.sweep].seats[row.seed].states[row.attempt - 1] = to
        self.model[row.sweep].events += 1

    def seats(self) -> list[tuple[str, int, Seat]]:
        return [(name, seed, seat) for name, known in self.model.items() for seed, seat in known.seats.items()]

    def held(self) -> int:
        return sum(seat.state in HELD for _, _, seat in self.seats())

    def states(self, name: str) -> list[State]:
        return [seat.state for seat in self.model[name].seats.values()]

    def tick(self) -> float:
        self.now += 1.0
        return self.now


def legal_move(row: AttemptRow, to: State) -> bool:
    """Whether the contract's table lets the attempt, as it was read, become ``to``."""
    if row.state is State.CANCELLING:
        return row.ending is not None and to is ENDS_IN[row.ending]
    return to in ALLOWED.get(row.state, ())
