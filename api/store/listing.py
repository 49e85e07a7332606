"""The list of sweeps: a page at a time, sorted, filtered by the derived state, fast at 10,000 sweeps.

The cursor is the last line's sort value and id, so pages neither skip nor repeat while sweeps come in. The state filter spells
out `recur.record.result.worst` as conditions on the current attempts; a test compares the two.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, tuple_

from api.store.tables import attempts, sweeps
from api.store.transitions import OPEN, TERMINAL
from recur.errors import InputError
from recur.record.result import State, worst

_SORTS = {"created_at": sweeps.c.created_at, "name": sweeps.c.name}
SORTS = tuple(sign + name for name in _SORTS for sign in ("", "-"))
SWEEP_STATES = (State.QUEUED, State.RUNNING, State.CANCELLING, *TERMINAL)


@dataclass(frozen=True, kw_only=True)
class ListedSweep:
    """A sweep in a list.

    Attributes:
        counts: how many current attempts are in each state that occurs.
        n: SUCCEEDED seeds; ``mean_val_bpb`` and ``max_total_bytes`` are over them.
    """

    id: str
    name: str
    profile: str
    priority: int
    created_at: float
    counts: Mapping[State, int] = field(default_factory=dict)
    n: int = 0
    mean_val_bpb: float | None = None
    max_total_bytes: int | None = None

    @property
    def state(self) -> State:
        """The derived state."""
        return worst(list(self.counts))

    @property
    def seeds(self) -> int:
        """How many seeds it has."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class ListedPage:
    """Lines, and the cursor of the next page (None: this was the last)."""

    lines: tuple[ListedSweep, ...]
    next: str | None


def listed(c: Connection, *, limit: int, after: str | None, state: str | None, sort: str) -> ListedPage:
    """A page of the list.

    Args:
        c: the connection.
        limit: lines a page.
        after: cursor from the page before.
        state: only sweeps in this derived state.
        sort: one of `SORTS`; ties by id.

    Raises:
        InputError: an unknown sort or state, or a cursor that is not from a list with this sort.
    """
    if sort not in SORTS:
        raise InputError(f"sort={sort!r}", f"must be one of {', '.join(SORTS)}", "correct it")
    by, down = _SORTS[sort.removeprefix("-")], sort.startswith("-")
    line = select(sweeps.c.sweep, sweeps.c.name, sweeps.c.profile, sweeps.c.priority, sweeps.c.created_at)
    if state is not None:
        line = line.where(_is(_known_state(state)))
    if after is not None:
        place, last = tuple_(by, sweeps.c.sweep), tuple_(*_read_cursor(after, sort))
        line = line.where(place < last if down else place > last)
    order = (by.desc(), sweeps.c.sweep.desc()) if down else (by, sweeps.c.sweep)
    found = [row._mapping for row in c.execute(line.order_by(*order).limit(limit + 1))]
    page = found[:limit]
    more = _cursor(sort, page[-1][by.name], page[-1]["sweep"]) if len(found) > limit else None
    counted = _count(c, [row["sweep"] for row in page])
    lines = (
        ListedSweep(
            id=row["sweep"],
            name=row["name"],
            profile=row["profile"],
            priority=row["priority"],
            created_at=row["created_at"],
            counts=counted[row["sweep"]].counts,
            n=counted[row["sweep"]].counts.get(State.SUCCEEDED, 0),
            mean_val_bpb=counted[row["sweep"]].mean_val_bpb,
            max_total_bytes=counted[row["sweep"]].max_total_bytes,
        )
        for row in page
    )
    return ListedPage(lines=tuple(lines), next=more)


@dataclass(kw_only=True)
class _Counted:
    counts: dict[State, int] = field(default_factory=dict)
    mean_val_bpb: float | None = None
    max_total_bytes: int | None = None


def _count(c: Connection, ids: list[str]) -> Mapping[str, _Counted]:
    by = (attempts.c.sweep, attempts.c.state)
    numbers = (
        func.count().label("seeds"),
        func.avg(attempts.c.val_bpb).label("bpb"),
        func.max(attempts.c.total_bytes).label("bytes"),
    )
    found: defaultdict[str, _Counted] = defaultdict(_Counted)
    for row in c.execute(select(*by, *numbers).where(attempts.c.sweep.in_(ids), attempts.c.is_current).group_by(*by)):
        mine = found[row.sweep]
        mine.counts[State(row.state)] = row.seeds
        if row.state == State.SUCCEEDED:
            mine.mean_val_bpb, mine.max_total_bytes = row.bpb, row.bytes
    return found


def _is(state: State) -> ColumnElement[bool]:
    """`worst` of the sweep's current attempts is ``state``; what rules out most sweeps comes first."""
    started = _any(attempts.c.state != State.QUEUED)
    if state is State.QUEUED:
        return ~started
    if state is State.CANCELLING:
        return _any(attempts.c.state == State.CANCELLING)
    if state is State.RUNNING:
        return and_(started, _any(attempts.c.state.in_(OPEN)), ~_any(attempts.c.state == State.CANCELLING))
    worse = TERMINAL[TERMINAL.index(state) + 1 :]
    return and_(_any(attempts.c.state == state), ~_any(attempts.c.state.in_((*OPEN, *worse))))


def _any(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(attempts.c.sweep == sweeps.c.sweep, attempts.c.is_current, condition)


def _known_state(state: str) -> State:
    if state not in list(SWEEP_STATES):
        raise InputError(f"state={state!r}", f"must be one of {', '.join(SWEEP_STATES)}", "correct it")
    return State(state)


def _cursor(sort: str, value: float | str, sweep: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, value, sweep]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[float | str, str]:
    kind = str if sort.endswith("name") else float
    try:
        known, value, sweep = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _odd_cursor(cursor) from error
    if known != sort or not isinstance(value, kind) or not isinstance(sweep, str):
        raise _odd_cursor(cursor)
    if not _storable(f"{value}{sweep}"):
        raise _odd_cursor(cursor)
    return value, sweep


def _storable(text: str) -> bool:
    """Whether every database takes a text: no NUL, no lone surrogate."""
    return text.encode("utf-8", "ignore").decode() == text and "\0" not in text


def _odd_cursor(cursor: str) -> InputError:
    return InputError(
        f"cursor={cursor[:40]!r}", "is not from a list with this sort", "take `next` of the page before, with its sort"
    )
