"""Random sequences of everything the service does, compared with the model after every step (P2 to P10).

Every sequence starts with more prepared seeds than there are slots, and what was read before a change is used again afterwards,
so that full slots and stale rows are met early.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, delete

from api.store import RetryRefused, Store, attempts, counts, sweeps
from api.store.rows import AttemptRow, Ending, Pool
from api.store.tables import metadata
from cluster.failure import Cause
from recur.record.result import State, worst
from tests.api.store.kit import HOUR_S, numbers
from tests.api.store.model import HELD, SLOTS, Modelled, Steps

SEEDS = st.integers(0, 2)
CHOICES = st.integers(0, 15)
REASONS = st.sampled_from(["no answer", "no room", None])


class Machine(Steps, RuleBasedStateMachine):
    """Each rule does one thing to both; `same` compares them."""

    names: Bundle[str] = Bundle("names")
    rows: Bundle[AttemptRow] = Bundle("rows")

    @initialize(target=names)
    def full_queue(self) -> MultipleResults[str]:
        """Three prepared sweeps and nothing else: many more seeds than slots."""
        self.model = {}
        self.now = 1000.0
        with self.store.write() as c:
            for table in reversed(metadata.sorted_tables):
                c.execute(delete(table))
        for key in range(3):
            self.prepare(self.put(key, 0))
        return multiple(*self.model)

    @rule(target=names, key=st.integers(0, 5), priority=st.integers(-1, 1))
    def submit(self, key: int, priority: int) -> str:
        return self.put(key, priority)

    @rule(name=names)
    def make_ready(self, name: str) -> None:
        self.prepare(name)

    @rule(target=rows, limit=st.integers(1, 4))
    def admit(self, limit: int) -> MultipleResults[AttemptRow]:
        return multiple(*self.admitted(limit))

    @rule(target=rows)
    def admit_when_full(self) -> MultipleResults[AttemptRow]:
        """The next round finds no slot free, whatever waits (P8)."""
        return multiple(*self.admitted(SLOTS), *self.admitted(SLOTS + 2))

    @rule(target=rows, name=names, seed=SEEDS)
    def look(self, name: str, seed: int) -> AttemptRow:
        """A row that may be stale by the time it is used."""
        return self.read(name, seed)

    @rule(target=rows, name=names, seed=SEEDS, choice=CHOICES, ending=st.sampled_from(Ending))
    def go_on(self, name: str, seed: int, choice: int, ending: Ending) -> AttemptRow:
        """A move the table allows; the row as it was before is stale from now on."""
        row = self.read(name, seed)
        self.move_legally(row, choice, ending)
        return row

    @rule(target=rows, turn=st.integers(0, SLOTS - 1), choice=CHOICES, ending=st.sampled_from(Ending))
    def go_on_with_an_open_one(self, turn: int, choice: int, ending: Ending) -> MultipleResults[AttemptRow]:
        """`go_on` with one that holds a slot, if any does."""
        with self.store.read() as c:
            found = attempts.open_ones(c)[turn : turn + 1]
        for row in found:
            self.move_legally(row, choice, ending)
        return multiple(*found)

    @rule(row=rows, choice=CHOICES, ending=st.sampled_from(Ending))
    def move_what_was_seen(self, row: AttemptRow, choice: int, ending: Ending) -> None:
        """Allowed by what was seen; it happens only if nothing changed since."""
        self.move_legally(row, choice, ending)

    @rule(row=rows, to=st.sampled_from(State), ending=st.sampled_from(Ending))
    def move_anywhere(self, row: AttemptRow, to: State, ending: Ending) -> None:
        self.move(row, to, ending)

    @rule(target=rows, name=names, seed=SEEDS, reason=REASONS)
    def explain(self, name: str, seed: int, reason: str | None) -> AttemptRow:
        """The state stays and the row is stale all the same."""
        row = self.read(name, seed)
        self.explained(row, reason)
        return row

    @rule(row=rows, reason=REASONS)
    def explain_what_was_seen(self, row: AttemptRow, reason: str | None) -> None:
        self.explained(row, reason)

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
        why = Cause.VANISHED if automatic else None
        try:
            with self.store.write() as c:
                row = attempts.retry(c, name, seed, now=self.tick(), ageing_s=HOUR_S, adopt_from=None, automatic=why)
        except RetryRefused:
            assert refused
            return
        assert not refused and row.attempt == len(seat.states) + 1
        seat.states.append(State.QUEUED)
        seat.ending, seat.warnings, seat.lost = None, [], seat.lost + automatic
        known.cancelled = known.reported = False
        known.events += 1

    @rule(row=rows, word=st.sampled_from(["late", "odd", "twice"]))
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
            row = sweeps.get(c, name)
            assert row is not None
            done = sweeps.reported(c, row, record_path=None, warning=None, now=self.tick())
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
            assert attempts.held(c, Pool.CPU) == self.held() == len(attempts.open_ones(c)) <= SLOTS
            total = counts.states(c)
            assert total == {s: sum(seat.state is s for _, _, seat in self.seats()) for s in State}
            waiting = [n for n, known in self.model.items() if not known.prepared and not known.cancelled]
            unprepared = {n for n in waiting if State.QUEUED in self.states(n)}
            assert {s.sweep for s in sweeps.unprepared(c, 100)} == unprepared

    def same_sweep(self, c: Connection, name: str, known: Modelled) -> None:
        assert numbers(c, name) == list(range(1, known.events + 1))
        history = attempts.history(c, name)
        for seed, seat in known.seats.items():
            mine = [r for r in history if r.seed == seed]
            assert [r.state for r in mine] == seat.states
            assert [r.current for r in mine] == [False] * (len(mine) - 1) + [True]
            assert (mine[-1].ending, mine[-1].had.lost) == (seat.ending, seat.lost)
            assert (mine[-1].warning or "") == "; ".join(seat.warnings)


def run(store: Store, examples: int, steps: int) -> None:
    """So many random sequences of so many steps, the same ones every time; the first that disagrees is not made shorter."""
    machine = type("StoreMachine", (Machine,), {"store": store})
    health = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=health,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(machine, settings=chosen)
