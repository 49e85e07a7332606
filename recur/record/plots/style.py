"""One look for all pictures: Okabe and Ito's palette, readable under every common colour blindness, and quiet axes.

Source: Okabe, Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOTS_PER_INCH = 150
INK, QUIET, FAINT = "#222222", "#767676", "#d9d9d9"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
SEED_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
SEED_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
SEED_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.bottom": True,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def headed_figure(title: str, subtitle: str, *, width: float = 9.6, height: float = 5.0) -> Figure:
    """An empty figure in inches with a title and a grey line below it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(rect=(0.015, 0.01, 0.975, 0.98 - 0.72 / height), w_pad=0.1)  # type: ignore[union-attr,call-arg]  # set above
    figure.text(0.02, 1 - 0.16 / height, title, fontsize=13.5, fontweight="bold", color=INK, va="top")
    figure.text(0.02, 1 - 0.46 / height, subtitle, fontsize=10, color=QUIET, va="top")
    return figure


CHIP: Any = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.92}
"""Background of a number that is written on a coloured area."""


def say_empty(axes: Axes, text: str) -> None:
    """A plain sentence where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=12)


def spread_apart(values: list[float], gap: float) -> list[float]:
    """Positions for labels of ``values`` (ascending) at least ``gap`` apart, as near to them as that allows.

    Neighbours that are too close are merged into a block, which is centred on the mean of its values.
    """
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _bottom(blocks[-1], gap):
            last = blocks.pop()
            blocks[-1].extend(last)
    return [_bottom(b, gap) + i * gap for b in blocks for i in range(len(b))]


def _bottom(block: list[float], gap: float) -> float:
    return sum(block) / len(block) - gap * (len(block) - 1) / 2


def _top(block: list[float], gap: float) -> float:
    return _bottom(block, gap) + gap * (len(block) - 1)
