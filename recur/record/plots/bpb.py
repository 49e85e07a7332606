"""Scores: every seed's sliding BPB with the mean, beside the published record lines.

Where our scores lie far from the published ones (another text, a tiny model), the value axis is broken in two, so that
both groups keep a scale on which their spread can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recur.record.known import KnownRecord
from recur.record.plots.style import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    SKY,
    VERMILION,
    headed_figure,
    say_empty,
    spread_apart,
)
from recur.record.result import SeedResult, State, SweepResult

_STAGES = (("trained", "D", SKY), ("roundtrip", "s", ORANGE), ("sliding", "o", BLUE))
_NAMES = {"trained": "trained (EMA)", "roundtrip": "round trip", "sliding": "sliding"}
_FAR = 3.0
"""The axis is broken when the gap is wider than this many times what the two groups span together."""


def bpb_figure(result: SweepResult, known: Sequence[KnownRecord]) -> Figure:
    """Points per seed and stage, the mean of the sliding scores with its deviation, one line per published record."""
    seeds = [s for s in result.seeds if s.state is State.SUCCEEDED and _scores(s)]
    figure = headed_figure("Bits per byte", _subtitle(result), height=5.4)
    if not seeds:
        say_empty(figure.add_subplot(), "no seed has a score yet")
        return figure
    ours = [v for s in seeds for v in _scores(s)]
    theirs = [r.val_bpb.mean for r in known]
    if theirs and _far_apart(ours, theirs):
        _broken(figure, result, seeds, known, ours_on_top=min(ours) > max(theirs))
        return figure
    axes = figure.add_subplot()
    _draw_seeds(axes, result, seeds)
    _fit(axes, ours + theirs, 0.08)
    _draw_known(axes, known, inches=3.6)
    axes.set_ylabel("bits per byte (lower is better)")
    _legend(axes)
    return figure


def _broken(
    figure: Figure, result: SweepResult, seeds: Sequence[SeedResult], known: Sequence[KnownRecord], *, ours_on_top: bool
) -> None:
    ratio = (2.2, 1.3) if ours_on_top else (1.3, 2.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=ratio)
    mine, other = (top, bottom) if ours_on_top else (bottom, top)
    _draw_seeds(mine, result, seeds)
    _fit(mine, [v for s in seeds for v in _scores(s)], 0.12)
    _fit(other, [r.val_bpb.mean for r in known], 0.25)
    _draw_known(other, known, inches=1.3)
    other.set_title("published records: FineWeb, 16 MB, 8xH100; the axis is broken, the scales differ")
    top.spines["bottom"].set_visible(False)
    top.tick_params(axis="x", bottom=False, labelbottom=False)
    _break_marks(top, bottom)
    figure.supylabel("bits per byte (lower is better)", fontsize=10.5)
    _legend(mine)


def _subtitle(result: SweepResult) -> str:
    text = f"sweep {result.sweep}, profile {result.profile}"
    if result.mean_val_bpb is None or not isfinite(result.mean_val_bpb):
        return text
    deviation = f" ± {result.std_val_bpb:.5f}" if result.std_val_bpb is not None else ""
    return f"{text}; sliding mean {result.mean_val_bpb:.5f}{deviation}, n = {result.n}"


def _scores(seed: SeedResult) -> list[float]:
    values = [getattr(seed.val_bpb, stage) for stage, _, _ in _STAGES]
    return [float(v) for v in values if v is not None and isfinite(v)]


def _far_apart(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    gap = max(min(ours) - max(theirs), min(theirs) - max(ours))
    return gap > _FAR * (max(ours) - min(ours) + max(theirs) - min(theirs))


def _fit(axes: Axes, values: Sequence[float], margin: float) -> None:
    low, high = min(values), max(values)
    room = margin * (high - low) or 0.001 * high
    axes.set_ylim(low - room, high + room)


def _draw_seeds(axes: Axes, result: SweepResult, seeds: Sequence[SeedResult]) -> None:
    for stage, marker, colour in _STAGES:
        points = [(i, getattr(s.val_bpb, stage)) for i, s in enumerate(seeds)]
        points = [p for p in points if p[1] is not None and isfinite(p[1])]
        if not points:
            continue
        x, y = [p[0] for p in points], [p[1] for p in points]
        size = 9 if stage == "sliding" else 7
        axes.plot(x, y, ls="", marker=marker, ms=size, color=colour, mec="white", mew=0.8, zorder=4, label=_NAMES[stage])
    if result.mean_val_bpb is not None and isfinite(result.mean_val_bpb):
        mean, sd = result.mean_val_bpb, result.std_val_bpb
        axes.axhline(mean, color=BLUE, lw=1.6, zorder=3, label="mean of sliding")
        if sd is not None:
            axes.axhspan(mean - sd, mean + sd, color=BLUE, alpha=0.13, lw=0, zorder=1, label="± 1 sd")
    axes.set_xticks(range(len(seeds)), [f"seed {s.seed}" for s in seeds])
    axes.set_xlim(-0.6, len(seeds) - 0.4)


def _draw_known(axes: Axes, known: Sequence[KnownRecord], *, inches: float) -> None:
    """Dashed lines with their labels right of the axes, moved apart where the lines are too close."""
    lines = sorted(known, key=lambda r: r.val_bpb.mean)
    means = [r.val_bpb.mean for r in lines]
    low, high = axes.get_ylim()
    places = spread_apart(means, (high - low) * 0.21 / inches)
    for record, mean, place in zip(lines, means, places, strict=True):
        axes.axhline(mean, color=VERMILION, lw=1.0, ls=(0, (5, 3)), alpha=0.8, zorder=2)
        axes.annotate(
            f"{record.label}  {mean:.5f}  ({record.status})",
            xy=(1.0, mean),
            xytext=(1.035, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.7, "shrinkA": 1, "shrinkB": 0},
        )


def _break_marks(top: Axes, bottom: Axes) -> None:
    """The two slanted strokes of a broken axis."""
    marks = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 9, "ls": "", "color": QUIET, "mew": 1.2, "clip_on": False}
    top.plot([0], [0], transform=top.transAxes, **marks)  # type: ignore[arg-type]
    bottom.plot([0], [1], transform=bottom.transAxes, **marks)  # type: ignore[arg-type]
    bottom.axhline(bottom.get_ylim()[1], color=FAINT, lw=0.8)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, columnspacing=1.2, handletextpad=0.4)
