"""Two arms in one picture: their seeds as dots with means and intervals, and the interval of the difference."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recur.record.atomic import write_bytes_atomic
from recur.record.compare import CONFIDENCE, Comparison
from recur.record.plots.style import (
    BLUE,
    DOTS_PER_INCH,
    INK,
    QUIET,
    STYLE,
    VERMILION,
    headed_figure,
    say_empty,
)
from recur.record.stats.arm import Arm
from recur.record.stats.verdicts import shown_p
from recur.record.stats.welch import interval

_COLOURS = (BLUE, VERMILION)


def compare_figure(comparison: Comparison) -> Figure:
    """Left every seed's score in BPB with the mean and its interval, right the interval of the difference of the means.

    The right panel has a line at no difference and one at the challenge's margin.
    """
    found = comparison
    title = f"{found.a.label} {found.verdict.relation} {found.b.label}"
    figure = headed_figure(title, _subtitle(found), height=4.6)
    if found.a.mean_bpb is None or found.b.mean_bpb is None:
        say_empty(figure.add_subplot(), "one side has no score")
        return figure
    seeds, difference = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for place, (arm, colour) in enumerate(zip((found.a, found.b), _COLOURS, strict=True)):
        _draw_arm(seeds, arm, place, colour)
    seeds.set_xticks((0, 1), [f"{arm.label}\nn = {arm.n if arm.n is not None else '?'}" for arm in (found.a, found.b)])
    seeds.set_xlim(-0.5, 1.75)
    seeds.margins(y=0.15)
    seeds.set_title(f"seeds, mean and its {100 * CONFIDENCE:.0f} % interval")
    seeds.set_ylabel("bits per byte (lower is better)")
    _draw_difference(difference, found)
    return figure


def write_compare_plot(path: Path, comparison: Comparison) -> Path:
    """Draw `compare_figure` into the PNG file ``path``.

    Raises:
        StorageError: the disk is full or not writable.
    """
    picture = io.BytesIO()
    with rc_context(STYLE):
        compare_figure(comparison).savefig(picture, format="png", dpi=DOTS_PER_INCH)
    write_bytes_atomic(path, picture.getvalue())
    return path


def _subtitle(found: Comparison) -> str:
    test = found.verdict.test
    if found.difference_bpb is None:
        return found.verdict.why_not or "no difference can be stated"
    if test is None or test.plain.t is None or test.plain.p_two_sided is None:
        return f"{found.difference_bpb:+.5f} BPB; no test"
    told = f"Welch t = {test.plain.t:.2f}, df {test.plain.df:.2f}, one-sided {shown_p(test.plain.p_two_sided / 2)}"
    return f"{found.difference_bpb:+.5f} BPB; {told}"


def _draw_arm(axes: Axes, arm: Arm, place: int, colour: str) -> None:
    spots = place - 0.12 + 0.06 * (np.arange(len(arm.val_bpb)) - (len(arm.val_bpb) - 1) / 2)
    axes.plot(spots, arm.val_bpb, ls="", marker="o", ms=7, color=colour, mec="white", mew=0.8, zorder=4)
    mean = arm.mean_bpb
    if mean is None:
        return
    axes.plot([place - 0.3, place + 0.3], [mean, mean], color=colour, lw=1.4, zorder=3)
    axes.annotate(f"{mean:.5f}", (place + 0.33, mean), va="center", fontsize=9.5, color=INK)
    if len(arm.val_bpb) > 1:
        ends = interval(arm.val_bpb, CONFIDENCE)
        axes.errorbar(place + 0.16, mean, yerr=[[mean - ends.low], [ends.high - mean]], color=colour, lw=1.6, capsize=5)


def _draw_difference(axes: Axes, found: Comparison) -> None:
    """The difference with its interval on one vertical scale; the margin lies below zero."""
    ends, difference = found.interval, found.difference_bpb
    if ends is None or difference is None:
        say_empty(axes, "no test:\ntoo few seeds, or other texts")
        return
    axes.errorbar(0, difference, yerr=[[difference - ends.low], [ends.high - difference]], color=INK, lw=1.8, capsize=7)
    axes.plot([0], [difference], marker="o", ms=8, color=INK, mec="white", zorder=4)
    axes.axhline(0, color=QUIET, lw=1.2)
    place = axes.get_yaxis_transform()
    axes.text(0.98, 0, "no difference", transform=place, fontsize=9, color=QUIET, va="bottom", ha="right")
    strict = found.verdict.test.strict if found.verdict.test else None
    if strict is not None:
        axes.axhline(-strict.margin, color=VERMILION, lw=1.2, ls=(0, (5, 3)))
        axes.text(0.98, -strict.margin, "margin", transform=place, fontsize=9, color=VERMILION, va="top", ha="right")
    axes.margins(y=0.2)
    axes.set_xlim(-1, 1)
    axes.set_xticks([])
    axes.set_title("difference of the means")
