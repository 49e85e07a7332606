"""Loss curves: training loss of every seed with the validation points, whole run and last third."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recur.record.journal import Event
from recur.record.plots.style import QUIET, SEED_COLOURS, SEED_DASHES, SEED_MARKERS, headed_figure, say_empty
from recur.record.result import SweepResult


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """One seed: training and validation points as float arrays [n, 2] of (step, nats per token)."""

    seed: int
    train: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    val: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    recurrence_step: float | None

    @property
    def last_step(self) -> float:
        return max((float(a[:, 0].max()) for a in (self.train, self.val) if len(a)), default=0.0)


def loss_figure(result: SweepResult, histories: Mapping[int, Sequence[Event]]) -> Figure:
    """Two panels over optimizer steps: the whole run, and its last third on its own scale."""
    curves = [_curve(s.seed, histories.get(s.seed, ())) for s in result.seeds]
    curves = [c for c in curves if len(c.train) or len(c.val)]
    figure = headed_figure(
        "Loss over training", f"sweep {result.sweep}, profile {result.profile}; lines: training, marks: validation"
    )
    if not curves:
        say_empty(figure.add_subplot(), "no seed has logged a step yet")
        return figure
    whole, late = figure.subplots(1, 2, width_ratios=(1.25, 1))
    last = max(c.last_step for c in curves)
    for axes, first in ((whole, 0.0), (late, last * 2 / 3)):
        for i, curve in enumerate(curves):
            _draw(axes, curve, i, first)
        axes.set_xlim(first - 0.02 * (last - first or 1), last + 0.02 * (last - first or 1))
        axes.margins(y=0.06)
        axes.set_xlabel("optimizer step")
        _mark_recurrence(axes, curves, first)
    whole.set_title("whole run")
    whole.set_ylabel("nats per token")
    late.set_title("last third")
    whole.legend(loc="upper right", ncols=1 + (len(curves) > 6))
    return figure


def _curve(seed: int, events: Sequence[Event]) -> _Curve:
    starts = [e.number("step") for e in events if e.kind == "recurrence"]
    return _Curve(
        seed=seed,
        train=_points(events, "step", "loss"),
        val=_points(events, "val", "val_loss"),
        recurrence_step=starts[0] if starts else None,
    )


def _points(events: Sequence[Event], kind: str, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    pairs = [(e.number("step"), e.number(name)) for e in events if e.kind == kind]
    rows = [(x, y) for x, y in pairs if x is not None and y is not None]
    return np.array(rows, np.float64).reshape(len(rows), 2)


def _draw(axes: Axes, curve: _Curve, index: int, first: float) -> None:
    colour = SEED_COLOURS[index % len(SEED_COLOURS)]
    train, val = curve.train[curve.train[:, 0] >= first], curve.val[curve.val[:, 0] >= first]
    dashes = SEED_DASHES[index % len(SEED_DASHES)]
    axes.plot(train[:, 0], train[:, 1], color=colour, ls=dashes, lw=1.4, alpha=0.85, label=f"seed {curve.seed}")
    marker = SEED_MARKERS[index % len(SEED_MARKERS)]
    axes.plot(val[:, 0], val[:, 1], ls="", marker=marker, ms=6, mfc="white", mec=colour, mew=1.6, zorder=4)


def _mark_recurrence(axes: Axes, curves: Sequence[_Curve], first: float) -> None:
    steps = [c.recurrence_step for c in curves if c.recurrence_step is not None]
    if not steps or steps[0] <= first:
        return
    axes.axvline(steps[0], color=QUIET, lw=0.9, ls=(0, (2, 2)), zorder=0)
    place = axes.get_xaxis_transform()
    axes.text(steps[0], 0.98, "recurrence on ", transform=place, rotation=90, fontsize=9, color=QUIET, va="top", ha="right")
