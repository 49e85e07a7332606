"""Bytes against the cap: code, model and slack of every seed, whole and magnified near the cap."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from recur.record.plots.style import BLUE, CHIP, FAINT, INK, ORANGE, VERMILION, headed_figure, say_empty
from recur.record.result import SeedResult, SweepResult

_CODE, _MODEL, _SLACK = ORANGE, BLUE, FAINT


def sizes_figure(result: SweepResult) -> Figure:
    """One bar a seed: code | model | slack up to the cap; the right panel shows the last bytes before the cap."""
    seeds = [s for s in result.seeds if s.total_bytes is not None and s.cap_bytes]
    figure = headed_figure("Bytes against the cap", _subtitle(result, seeds), height=2.6 + 0.62 * max(len(seeds), 2))
    if not seeds:
        say_empty(figure.add_subplot(), "no seed has an artifact yet")
        return figure
    whole, near = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
    for axes in (whole, near):
        _bars(axes, seeds)
    cap, low = max(_cap(s) for s in seeds), min(_total(s) for s in seeds)
    over = max(0, max(_total(s) for s in seeds) - cap)
    whole.set_xlim(0, max(cap, cap + over) * 1.01)
    span = max(cap - low, over, cap // 1000)
    near.set_xlim(max(min(low, cap) - 0.9 * span, 0), cap + max(0.25 * span, 1.3 * over))
    whole.set_title("whole")
    near.set_title("near the cap")
    whole.set_yticks(range(len(seeds)), [f"seed {s.seed}" for s in seeds])
    whole.invert_yaxis()
    _numbers(whole, near, seeds)
    for axes in (whole, near):
        axes.grid(visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if axes is whole else 3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.set_xlabel("bytes")
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _subtitle(result: SweepResult, seeds: Sequence[SeedResult]) -> str:
    text = f"sweep {result.sweep}, profile {result.profile}"
    if not seeds:
        return text
    sources = sorted({s.code_bytes_source for s in seeds if s.code_bytes_source})
    return f"{text}; cap {max(_cap(s) for s in seeds):,}" + (f", code bytes: {', '.join(sources)}" if sources else "")


def _total(seed: SeedResult) -> int:
    return seed.total_bytes or 0


def _cap(seed: SeedResult) -> int:
    return seed.cap_bytes or 0


def _bars(axes: Axes, seeds: Sequence[SeedResult]) -> None:
    rows = list(range(len(seeds)))
    code = [s.code_bytes or 0 for s in seeds]
    model = [_total(s) - c for s, c in zip(seeds, code, strict=True)]
    slack = [max(_cap(s) - _total(s), 0) for s in seeds]
    totals = [_total(s) for s in seeds]
    axes.barh(rows, code, height=0.62, color=_CODE, label="code")
    axes.barh(rows, model, left=code, height=0.62, color=_MODEL, label="model")
    axes.barh(rows, slack, left=totals, height=0.62, color=_SLACK, hatch="///", edgecolor="white", lw=0, label="slack")
    over = [max(_total(s) - _cap(s), 0) for s in seeds]
    if any(over):
        caps = [_cap(s) for s in seeds]
        axes.barh(rows, over, left=caps, height=0.62, color=VERMILION, hatch="xx", edgecolor="white", lw=0, label="over")
    axes.axvline(max(_cap(s) for s in seeds), color=INK, lw=1.6, label="cap")


def _numbers(whole: Axes, near: Axes, seeds: Sequence[SeedResult]) -> None:
    for row, seed in enumerate(seeds):
        code = seed.code_bytes or 0
        text = f"model {_total(seed) - code:,}   code {code:,}   total {_total(seed):,}"
        whole.annotate(text, (0, row), (10, 0), textcoords="offset points", va="center", fontsize=9, bbox=CHIP)
        slack = _cap(seed) - _total(seed)
        word = f"slack {slack:,}" if slack >= 0 else f"over by {-slack:,}"
        place = near.get_yaxis_transform()
        near.text(0.04, row, word, transform=place, va="center", fontsize=9, bbox=CHIP)
