"""The picture of bytes: code | model | slack of every seed up to the cap, whole and magnified near the cap.

The scales are those of `recur.record.plots.sizes`; places are per cent of the width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.models import SeedView
from api.pages.views.axis import Axis


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a bar: ``kind`` is code, model, slack or over; start and width in per cent."""

    kind: str
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class ByteBar:
    """One seed's bar on both scales, and its numbers in bytes."""

    seed: int
    code_bytes: int
    model_bytes: int
    total_bytes: int
    cap_bytes: int
    whole: tuple[Part, ...]
    near: tuple[Part, ...]

    @property
    def slack_bytes(self) -> int:
        """What is left below the cap; negative above it."""
        return self.cap_bytes - self.total_bytes


@dataclass(frozen=True, kw_only=True)
class ByteBars:
    """All bars; ``cap_whole`` and ``cap_near`` are the cap's places, ``near_bytes`` what the magnified scale spans."""

    bars: tuple[ByteBar, ...]
    cap_bytes: int
    cap_whole: float
    cap_near: float
    near_bytes: int


def byte_bars(seeds: Sequence[SeedView]) -> ByteBars | None:
    """The bars of the seeds that have an artifact and a cap; None while there is none."""
    sized = [s for s in seeds if s.total_bytes is not None and s.cap_bytes]
    if not sized:
        return None
    cap, low = max(s.cap_bytes or 0 for s in sized), min(s.total_bytes or 0 for s in sized)
    high = max(s.total_bytes or 0 for s in sized)
    over = max(0, high - cap)
    span = max(cap - low, over, cap // 1000, 1)
    whole = Axis(low=0, high=max(cap, high))
    near = Axis(low=max(min(low, cap) - 0.9 * span, 0), high=cap + max(0.25 * span, 1.3 * over))
    return ByteBars(
        bars=tuple(_bar(s, whole, near) for s in sized),
        cap_bytes=cap,
        cap_whole=whole.at(cap),
        cap_near=near.at(cap),
        near_bytes=round(near.high - near.low),
    )


def _bar(seed: SeedView, whole: Axis, near: Axis) -> ByteBar:
    total, cap, code = seed.total_bytes or 0, seed.cap_bytes or 0, seed.code_bytes or 0
    edges = {
        "code": (0, code),
        "model": (code, min(total, cap)),
        "slack": (total, cap),
        "over": (cap, total),
    }
    return ByteBar(
        seed=seed.seed,
        code_bytes=code,
        model_bytes=total - code,
        total_bytes=total,
        cap_bytes=cap,
        whole=_parts(whole, edges),
        near=_parts(near, edges),
    )


def _parts(axis: Axis, edges: dict[str, tuple[int, int]]) -> tuple[Part, ...]:
    parts = []
    for kind, (start, stop) in edges.items():
        x, end = axis.at(start), axis.at(stop)
        if stop > start and end > x:
            parts.append(Part(kind=kind, x=x, width=round(end - x, 3)))
    return tuple(parts)
