"""The stored results of a sweep as the record's own types, so that every number is computed by the code of the record.

What `sweep.json`, `results.csv` and the record folder say is made from the same values by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.service.context import Context
from api.service.lookup import StoredSweep, stored_sweep, unknown_sweep
from api.store import sweeps
from api.store.rows import AttemptRow
from recur.record.codec import from_json
from recur.record.known import find_known, pr_number
from recur.record.result import SeedResult, SweepResult, summarise

if TYPE_CHECKING:
    from recur.record.stats.arm import Arm


def seed_result(row: AttemptRow) -> SeedResult:
    """The attempt's result as it was taken in; without one, its state and reason."""
    if row.result is None:
        return SeedResult(seed=row.seed, state=row.state, attempt=row.attempt, error=row.reason)
    return from_json(SeedResult, dict(row.result), where=f"result of {row.job_id}")


def sweep_result(found: StoredSweep) -> SweepResult:
    """The sweep's result so far."""
    row = found.row
    return summarise(row.sweep, row.profile, row.fingerprint or "", [seed_result(a) for a in found.current])


def arm_of_stored(found: StoredSweep) -> Arm:
    """The sweep as one side of a comparison."""
    from recur.record.stats.arm import arm_of_sweep

    stride = found.row.recipe.get("evaluate", {}).get("stride")
    return arm_of_sweep(sweep_result(found), stride=stride if isinstance(stride, int) else None)


def baseline_arm(ctx: Context, baseline: str) -> Arm:
    """The other side that a stored baseline names.

    Raises:
        Refused: 404, the sweep or line is not known any more.
    """
    from recur.record.stats.arm import arm_of_known

    if pr_number(baseline) is not None:
        return arm_of_known(find_known(baseline))
    with ctx.store.read() as c:
        if sweeps.get(c, baseline) is None:
            raise unknown_sweep(baseline)
        return arm_of_stored(stored_sweep(c, baseline))
