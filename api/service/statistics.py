"""What a sweep's seeds say together: spread, interval, tests against the baseline, verdict; before that, what they will tell.

All numbers come from `recur.record.stats` on the stored results, as in the sweep's own report. scipy is loaded on first use.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING

from api.models import Interval, Statistics, WelchTest
from api.service.context import Context
from api.service.lookup import StoredSweep, stored_sweep
from api.service.results import arm_of_stored, baseline_arm, sweep_result
from api.store import finished, sweeps
from recur.errors import InputError
from recur.record.known import find_known, pr_number
from recur.record.result import State, SweepResult
from recur.record.stats import spread

if TYPE_CHECKING:
    from recur.record.stats.arm import Arm
    from recur.record.stats.verdicts import Verdict

CONFIDENCE = 0.95
REFERENCE = "1421"
"""The published line whose deviation stands in for a profile of the record's size that has not run here."""


def statistics(ctx: Context, found: StoredSweep) -> Statistics:
    """The statistics of a sweep, kept until one of its seeds or its baseline changes."""
    return ctx.cache.get(("statistics", found.version, _baseline_version(ctx, found.row.baseline)), lambda: _computed(ctx, found))


def _computed(ctx: Context, found: StoredSweep) -> Statistics:
    result = sweep_result(found)
    verdict = _verdict(ctx, found)
    return Statistics(
        n=result.n,
        mean_val_bpb=_number(result.mean_val_bpb),
        sd_val_bpb=_number(result.std_val_bpb),
        interval_95=_interval(result),
        mean_total_bytes=result.mean_total_bytes,
        max_total_bytes=result.max_total_bytes,
        baseline=found.row.baseline,
        tests=welch_tests(verdict) if verdict else [],
        verdict=verdict.sentence if verdict else None,
        seeds_needed=_seeds_needed(ctx, found, verdict),
        planned=_planned(ctx, found) if result.n < len(found.current) else None,
    )


def welch_tests(verdict: Verdict) -> list[WelchTest]:
    """Every test of a verdict: a row a unit without margin, and one with it where it has a value there."""
    return [
        WelchTest(unit=test.unit, margin=one.margin, difference=one.difference, t=one.t, df=one.df, p_one_sided=one.p_one_sided)
        for test in verdict.tests
        for one in (test.plain, test.strict)
        if one is not None
    ]


def _interval(result: SweepResult) -> Interval | None:
    scores = [s.val_bpb.sliding for s in result.seeds if s.state is State.SUCCEEDED and s.val_bpb.sliding is not None]
    if len(scores) < 2 or not all(isfinite(score) for score in scores):
        return None
    from recur.record.stats.welch import interval

    ends = interval(scores, CONFIDENCE)
    return Interval(low=ends.low, high=ends.high)


def _verdict(ctx: Context, found: StoredSweep) -> Verdict | None:
    """Against the baseline, once there is a score."""
    if found.row.baseline is None:
        return None
    from recur.record.stats.verdicts import judge

    mine = arm_of_stored(found)
    return judge(mine, baseline_arm(ctx, found.row.baseline)) if mine.val_bpb else None


def _seeds_needed(ctx: Context, found: StoredSweep, verdict: Verdict | None) -> int | None:
    """Seeds a side that would prove the observed difference; None where it is not lower or no deviation is known."""
    if verdict is None or found.row.baseline is None or verdict.difference_bpb is None or verdict.difference_bpb >= 0:
        return None
    from recur.record.stats.power import needed

    sd = _common_sd(arm_of_stored(found), baseline_arm(ctx, found.row.baseline))
    if sd is None:
        return None
    try:
        return needed(-verdict.difference_bpb, sd)
    except InputError:  # so small that more than 10,000 would be needed
        return None


def _common_sd(a: Arm, b: Arm) -> float | None:
    """The one deviation that stands for both sides: root of the mean variance, or that of the side that has one."""
    known = [arm.bpb.sd for arm in (a, b) if arm.bpb is not None and arm.bpb.sd > 0]
    return sqrt(sum(sd**2 for sd in known) / len(known)) if known else None


def _planned(ctx: Context, found: StoredSweep) -> str:
    """What the seeds will be able to tell, at the deviation of the newest sweep of this profile, else of a published line."""
    from recur.record.stats.power import planned

    seeds, row = len(found.row.seeds), found.row
    with ctx.store.read() as c:
        earlier = finished.newest_scores(c, row.profile)
    shown = spread(earlier.val_bpb) if earlier else None
    if earlier is not None and shown is not None and shown.sd:
        told = ctx.cache.get(("planned", seeds, shown.sd), lambda: planned(seeds, shown.sd or 0.0))
        return f"{told} (the deviation of {earlier.sweep})"
    published = find_known(REFERENCE).val_bpb.sd
    if row.recipe.get("train", {}).get("wallclock_s", 0) > 0 and published:
        told = ctx.cache.get(("planned", seeds, published), lambda: planned(seeds, published))
        return f"{told} (the deviation of PR {REFERENCE})"
    return f"{seeds} seeds: what they resolve is unknown until a sweep of this profile has shown its deviation"


def _baseline_version(ctx: Context, baseline: str | None) -> object:
    if baseline is None or pr_number(baseline) is not None:
        return baseline
    with ctx.store.read() as c:
        return stored_sweep(c, baseline).version if sweeps.get(c, baseline) else None


def _number(value: float | None) -> float | None:
    """A number that JSON has; a mean over a score that is not one is absent."""
    return value if value is not None and isfinite(value) else None
