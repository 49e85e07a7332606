"""The picture of a comparison: the scores of both sides on one axis, each with its mean and deviation."""

from __future__ import annotations

from dataclasses import dataclass

from api.models import ArmView
from api.pages.views.axis import Axis, Tick, around

ROW_PX, TOP_PX, AXIS_PX = 44, 6, 22


@dataclass(frozen=True, kw_only=True)
class Side:
    """One row: dots and mean in per cent, ``y`` in pixels."""

    label: str
    y: float
    dots: tuple[tuple[float, float], ...]
    mean: float | None
    mean_x: float | None
    sd: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class PairPlot:
    """Both rows on one axis."""

    sides: tuple[Side, Side]
    ticks: tuple[Tick, ...]
    height: int

    @property
    def bottom(self) -> int:
        """Where the axis lies."""
        return self.height - AXIS_PX


def pair_plot(a: ArmView, b: ArmView) -> PairPlot | None:
    """The picture; None while a side has no score."""
    if a.mean_val_bpb is None or b.mean_val_bpb is None:
        return None
    values = [*a.val_bpb, *b.val_bpb, a.mean_val_bpb, b.mean_val_bpb]
    for arm in (a, b):
        if arm.sd_val_bpb is not None and arm.mean_val_bpb is not None:
            values += [arm.mean_val_bpb - arm.sd_val_bpb, arm.mean_val_bpb + arm.sd_val_bpb]
    axis = around(values, 0.12, left=2, right=98)
    sides = (_side(axis, a, TOP_PX + ROW_PX / 2), _side(axis, b, TOP_PX + 1.5 * ROW_PX))
    return PairPlot(sides=sides, ticks=axis.ticks(4), height=TOP_PX + 2 * ROW_PX + AXIS_PX)


def _side(axis: Axis, arm: ArmView, y: float) -> Side:
    mean, sd = arm.mean_val_bpb, arm.sd_val_bpb
    return Side(
        label=arm.label,
        y=y,
        dots=tuple((axis.at(value), value) for value in arm.val_bpb),
        mean=mean,
        mean_x=None if mean is None else axis.at(mean),
        sd=None if mean is None or sd is None else (axis.at(mean - sd), axis.at(mean + sd)),
    )
