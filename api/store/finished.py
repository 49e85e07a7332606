"""What finished seeds teach about those to come: how long they held their slots, how their scores spread."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from api.store.tables import attempts, sweeps
from recur.record.result import State

_DONE = (attempts.c.is_current, attempts.c.state == State.SUCCEEDED)


@dataclass(frozen=True, kw_only=True)
class ScoreSummary:
    """Sliding scores of all SUCCEEDED seeds: how many, the lowest and the mean (None without any)."""

    n: int
    best: float | None
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class SweepScores:
    """A sweep's sliding scores."""

    sweep: str
    val_bpb: tuple[float, ...]


def durations_s(c: Connection, profile: str, limit: int = 20) -> tuple[float, ...]:
    """Seconds from admission to end of a profile's latest SUCCEEDED seeds."""
    spent = (attempts.c.ended_at - attempts.c.admitted_at).label("spent")
    of = (*_DONE, sweeps.c.profile == profile, attempts.c.ended_at.is_not(None), attempts.c.admitted_at.is_not(None))
    joined = select(spent).join(sweeps, sweeps.c.sweep == attempts.c.sweep).where(*of)
    return tuple(float(row.spent) for row in c.execute(joined.order_by(attempts.c.ended_at.desc()).limit(limit)))


def newest_scores(c: Connection, profile: str) -> SweepScores | None:
    """The newest sweep of a profile with at least two scores; None where there is none."""
    scored = (*_DONE, sweeps.c.profile == profile, attempts.c.val_bpb.is_not(None))
    grouped = select(sweeps.c.sweep).join(attempts, sweeps.c.sweep == attempts.c.sweep).where(*scored)
    several = grouped.group_by(sweeps.c.sweep, sweeps.c.created_at).having(func.count() > 1)
    name = c.scalar(several.order_by(sweeps.c.created_at.desc(), sweeps.c.sweep.desc()).limit(1))
    if name is None:
        return None
    values = select(attempts.c.val_bpb).where(*_DONE, attempts.c.sweep == name, attempts.c.val_bpb.is_not(None))
    return SweepScores(sweep=name, val_bpb=tuple(float(v) for v in c.scalars(values.order_by(attempts.c.position))))


def score_summary(c: Connection) -> ScoreSummary:
    """The scores of all SUCCEEDED seeds in three numbers."""
    value = attempts.c.val_bpb
    row = c.execute(select(func.count(value), func.min(value), func.avg(value)).where(*_DONE)).one()
    return ScoreSummary(n=row[0], best=row[1], mean=row[2])
