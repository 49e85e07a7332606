"""The picture of time: every seed's phases one after the other, with the two limits of 600 s.

A finished seed is drawn from its result's seconds; an open one from the phase events of its attempt, the phase it is in
up to now. The fences stand where training and evaluation must have ended; they bind on the track's hardware only, which
the gates say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.models import SeedView
from api.pages.views.axis import Axis, Tick
from recur.record.journal import Event
from recur.record.result import Phase
from recur.record.rules.seed import TRACK_LIMIT_S

_ON_THE_CLOCK = (Phase.TRAIN.value, Phase.CALIBRATE.value)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A phase: how long, and its place in per cent; ``open`` while it goes on."""

    phase: str
    seconds: float
    x: float
    width: float
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One of the two limited clocks: what was used (None: not begun) and where its fence stands (None: off the picture)."""

    name: str
    used_s: float | None
    limit_s: float
    fence: float | None

    @property
    def over(self) -> bool:
        """Whether the limit is passed."""
        return self.used_s is not None and self.used_s > self.limit_s


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One seed's phases and clocks."""

    seed: int
    total_s: float
    stretches: tuple[Stretch, ...]
    clocks: tuple[Clock, Clock]


@dataclass(frozen=True, kw_only=True)
class Stages:
    """All rows on one axis in seconds."""

    rows: tuple[StageRow, ...]
    ticks: tuple[Tick, ...]

    @property
    def fences_shown(self) -> bool:
        """Whether any fence lies within the picture."""
        return any(clock.fence is not None for row in self.rows for clock in row.clocks)


def stages(seeds: Sequence[SeedView], events: Mapping[int, Sequence[Event]], now: float) -> Stages | None:
    """The picture of the seeds that have begun; None while none has.

    Args:
        seeds: in the sweep's order.
        events: of the current attempts of open seeds, by seed.
        now: seconds since 1970.
    """
    spans = {s.seed: _spans(s, events.get(s.seed, ()), now) for s in seeds}
    begun = [s for s in seeds if spans[s.seed]]
    if not begun:
        return None
    longest = max(sum(span for _, span in spans[s.seed]) for s in begun)
    axis = Axis(low=0.0, high=max(longest, 1.0) * 1.02)
    rows = tuple(_row(s, spans[s.seed], axis) for s in begun)
    return Stages(rows=rows, ticks=axis.ticks(4))


def _spans(seed: SeedView, events: Sequence[Event], now: float) -> list[tuple[str, float]]:
    """Phases in their order with their seconds."""
    if seed.seconds:
        return [(p.value, seed.seconds[p.value]) for p in Phase if p.value in seed.seconds]
    marks = [(str(e.fields["phase"]), e.at) for e in events if e.kind == "phase" and e.fields.get("phase")]
    ends = [at for _, at in marks[1:]] + [now] if marks else []
    return [(name, max(end - at, 0.0)) for (name, at), end in zip(marks, ends, strict=True)]


def _row(seed: SeedView, spans: list[tuple[str, float]], axis: Axis) -> StageRow:
    starts: dict[str, float] = {}
    stretches, at = [], 0.0
    for i, (phase, span) in enumerate(spans):
        starts.setdefault(phase, at)
        x = axis.at(at)
        last = not seed.seconds and i == len(spans) - 1
        stretches.append(Stretch(phase=phase, seconds=span, x=x, width=max(round(axis.at(at + span) - x, 3), 0.15), open=last))
        at += span
    used = {name: sum(span for phase, span in spans if phase in phases) for name, phases in _CLOCKS.items()}
    clocks = [
        Clock(
            name=name,
            used_s=_measured(seed, name) or used[name] or None,
            limit_s=TRACK_LIMIT_S,
            fence=_fence(starts.get(phases[0]), axis),
        )
        for name, phases in _CLOCKS.items()
    ]
    return StageRow(seed=seed.seed, total_s=at, stretches=tuple(stretches), clocks=(clocks[0], clocks[1]))


_CLOCKS = {"training": _ON_THE_CLOCK, "evaluation": (Phase.EVALUATE.value,)}


def _measured(seed: SeedView, clock: str) -> float | None:
    """What the seed's gate measured on a clock, seconds."""
    value = next((g.value for g in seed.gates if g.name == f"{clock} clock, s"), None)
    return float(value) if isinstance(value, int | float) else None


def _fence(start: float | None, axis: Axis) -> float | None:
    if start is None or not axis.holds(start + TRACK_LIMIT_S):
        return None
    return axis.at(start + TRACK_LIMIT_S)
