"""Two sweeps beside each other, or a sweep beside a published line; names are ids or pull requests, never paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.models import ArmView, Comparison, ConfigChange, Interval, PolicyView
from api.problems import Refused
from api.service.context import Context
from api.service.lookup import stored_sweep, unknown_sweep
from api.service.results import arm_of_stored
from api.service.statistics import welch_tests
from api.store import sweeps
from recur.errors import InputError
from recur.record.atomic import finite
from recur.record.known import find_known, pr_number

if TYPE_CHECKING:
    from recur.record.compare import Comparison as Found
    from recur.record.stats.arm import Arm


@dataclass(frozen=True, kw_only=True)
class _Side:
    """What a name stands for, its recipe where it is known, and what changes when the side does."""

    arm: Arm
    recipe: dict[str, Any] | None
    version: object


def comparison(ctx: Context, a: str, b: str) -> Comparison:
    """``a`` against ``b``: below zero means that ``a`` scores lower.

    Args:
        ctx: the service.
        a, b: a sweep's id, or a known line as `#1334`, `PR 1334` or `1334`.

    Raises:
        Refused: 404, one of them is not known.
    """
    first, second = _side(ctx, a), _side(ctx, b)
    return ctx.cache.get(("comparison", first.version, second.version), lambda: _compared(first, second))


def _compared(first: _Side, second: _Side) -> Comparison:
    from recur.record.compare import compare

    return comparison_view(compare(first.arm, second.arm, (first.recipe, second.recipe)))


def comparison_view(found: Found) -> Comparison:
    """The record's comparison as a resource."""
    verdict = found.verdict
    return Comparison(
        finding=verdict.sentence,
        relation=verdict.relation.value,
        a=_arm(found.a),
        b=_arm(found.b),
        difference_bpb=finite(found.difference_bpb),  # type: ignore[arg-type]  # a float or None
        difference_loss=finite(found.difference_loss),  # type: ignore[arg-type]
        difference_bytes=finite(found.difference_bytes),  # type: ignore[arg-type]
        interval_95=Interval(low=found.interval.low, high=found.interval.high) if found.interval else None,
        tests=welch_tests(verdict),
        policies=[PolicyView(policy=p.policy, passed=p.passed, p=p.p, told=p.told) for p in verdict.policies],
        config=None if found.config is None else [ConfigChange(key=c.key, a=finite(c.a), b=finite(c.b)) for c in found.config],  # type: ignore[arg-type]  # JSON
        warnings=list(found.warnings),
    )


def _side(ctx: Context, name: str) -> _Side:
    number = pr_number(name)
    if number is not None:
        from recur.record.stats.arm import arm_of_known

        try:
            return _Side(arm=arm_of_known(find_known(name)), recipe=None, version=number)
        except InputError as error:
            raise Refused(404, "unknown_line", f"{error.value} {error.rule}", error.remedy) from error
    with ctx.store.read() as c:
        if sweeps.get(c, name) is None:
            raise unknown_sweep(name)
        found = stored_sweep(c, name)
    return _Side(arm=arm_of_stored(found), recipe=dict(found.row.recipe), version=found.version)


def _arm(arm: Arm) -> ArmView:
    bpb, loss = arm.bpb, arm.loss
    return ArmView(
        label=arm.label,
        seeds=list(arm.seeds),
        val_bpb=list(arm.val_bpb),
        n=arm.n,
        mean_val_bpb=arm.mean_bpb,
        sd_val_bpb=bpb.sd if bpb else None,
        mean_val_loss=loss.mean if loss else None,
        mean_total_bytes=arm.bytes.mean if arm.bytes else None,
        max_total_bytes=int(arm.bytes.high) if arm.bytes else None,
        stride=arm.stride,
        status=arm.status,
    )
