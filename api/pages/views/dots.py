"""The picture of scores: a dot per seed, their mean with deviation and t-interval, and the published lines.

Where the published lines lie far from ours (another text, a tiny model), the axis is broken in two, as in the plots of
`recur.record.plots.bpb`. Places are per cent of the width, so the picture fits any screen with its text at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from api.models import SeedView, Statistics
from api.pages.views.axis import Axis, Tick, around
from recur.record.known import KnownRecord

FAR = 3.0
"""The axis is broken when the gap is wider than this many times what the two groups span together."""
LABEL_WIDTH = 24.0
"""Per cent of the width that a line's label takes on the narrowest screen; nearer ones go one level up."""
ROW_PX, LEVEL_PX, AXIS_PX = 28, 16, 22


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One seed; ``x`` is None before it has a score."""

    seed: int
    state: str
    value: float | None
    x: float | None
    y: float


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean and its two bars; a bar is None below two seeds."""

    value: float
    x: float
    y: float
    sd: tuple[float, float] | None
    interval: tuple[float, float] | None
    interval_cut: bool


@dataclass(frozen=True, kw_only=True)
class Line:
    """A published line; ``level`` 0 is nearest to the picture, its label begins right of the line."""

    label: str
    name: str
    score: float
    status: str
    x: float
    level: int


@dataclass(frozen=True, kw_only=True)
class DotPlot:
    """Everything the template needs; heights in pixels, widths in per cent."""

    dots: tuple[Dot, ...]
    mean: Mean | None
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    broken_at: float | None
    top: int
    height: int

    @property
    def bottom(self) -> int:
        """Where the axis lies."""
        return self.height - AXIS_PX


@dataclass(frozen=True, kw_only=True)
class _Axes:
    ours: Axis
    theirs: Axis
    broken_at: float | None

    def ticks(self) -> tuple[Tick, ...]:
        if self.broken_at is None:
            return self.ours.ticks(5)
        return (*self.theirs.ticks(1), *self.ours.ticks(3))


def dot_plot(seeds: Sequence[SeedView], statistics: Statistics, known: Sequence[KnownRecord]) -> DotPlot | None:
    """The picture of a sweep's scores; None while no seed has one.

    Args:
        seeds: in the sweep's order.
        statistics: over the SUCCEEDED ones.
        known: published lines to draw.
    """
    scores = [s.val_bpb.sliding for s in seeds if s.val_bpb.sliding is not None and isfinite(s.val_bpb.sliding)]
    if not scores:
        return None
    axes = _axes(scores + _deviation(statistics), known)
    lines = _lines(axes.theirs, known)
    top = 8 + LEVEL_PX * (1 + max((line.level for line in lines), default=-1))
    rows = len(seeds) + (statistics.mean_val_bpb is not None)
    return DotPlot(
        dots=tuple(_dot(axes.ours, seed, top + (i + 0.5) * ROW_PX) for i, seed in enumerate(seeds)),
        mean=_mean(axes.ours, statistics, top + (len(seeds) + 0.5) * ROW_PX),
        lines=lines,
        ticks=axes.ticks(),
        broken_at=axes.broken_at,
        top=top,
        height=top + rows * ROW_PX + AXIS_PX,
    )


def _deviation(statistics: Statistics) -> list[float]:
    mean, sd = statistics.mean_val_bpb, statistics.sd_val_bpb
    return [] if mean is None or sd is None else [mean - sd, mean + sd]


def _axes(ours: Sequence[float], known: Sequence[KnownRecord]) -> _Axes:
    theirs = [r.score_bpb for r in known]
    if not theirs:
        axis = around(ours, 0.25, left=2, right=98)
        return _Axes(ours=axis, theirs=axis, broken_at=None)
    gap = max(min(ours) - max(theirs), min(theirs) - max(ours))
    if gap <= FAR * (max(ours) - min(ours) + max(theirs) - min(theirs)):
        axis = around([*ours, *theirs], 0.08, left=2, right=98)
        return _Axes(ours=axis, theirs=axis, broken_at=None)
    if min(ours) > max(theirs):
        mine, other = around(ours, 0.45, left=40, right=98), around(theirs, 0.2, left=2, right=34)
    else:
        mine, other = around(ours, 0.45, left=2, right=60), around(theirs, 0.2, left=66, right=98)
    return _Axes(ours=mine, theirs=other, broken_at=37.0 if mine.left > other.left else 63.0)


def _dot(axis: Axis, seed: SeedView, y: float) -> Dot:
    value = seed.val_bpb.sliding
    shown = value if value is not None and isfinite(value) else None
    return Dot(seed=seed.seed, state=seed.state, value=shown, x=None if shown is None else axis.at(shown), y=y)


def _mean(axis: Axis, statistics: Statistics, y: float) -> Mean | None:
    mean, sd, interval = statistics.mean_val_bpb, statistics.sd_val_bpb, statistics.interval_95
    if mean is None or not isfinite(mean):
        return None
    return Mean(
        value=mean,
        x=axis.at(mean),
        y=y,
        sd=None if sd is None else (axis.at(mean - sd), axis.at(mean + sd)),
        interval=None if interval is None else (axis.at(interval.low), axis.at(interval.high)),
        interval_cut=interval is not None and not (axis.holds(interval.low) and axis.holds(interval.high)),
    )


def _lines(axis: Axis, known: Sequence[KnownRecord]) -> tuple[Line, ...]:
    lines: list[Line] = []
    for record in sorted(known, key=lambda r: -r.score_bpb):  # from the right, so that no line crosses a label
        x = axis.at(record.score_bpb)
        taken = {line.level for line in lines if line.x - x < LABEL_WIDTH}
        lines.append(
            Line(
                label=record.label,
                name=record.name,
                score=record.score_bpb,
                status=record.status or ("accepted" if record.accepted else "status unknown"),
                x=x,
                level=next(n for n in range(len(known) + 1) if n not in taken),
            )
        )
    return tuple(lines)
