"""Stored rows as resources: one sweep, whole, and pages of the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from api.models import Attempt, GateRow, Progress, Scores, SeedView, Sweep, SweepLine, SweepPage, Waiting
from api.service.context import Context
from api.service.lookup import StoredSweep, sweep_row
from api.service.results import seed_result
from api.service.statistics import statistics
from api.service.times import instant
from api.service.waiting import queued_of, waiting_of
from api.store import attempts, sweeps
from api.store.rows import AttemptRow, SweepRow
from recur.record.atomic import finite
from recur.record.result import Phase, SeedResult


def sweep_view(ctx: Context, sweep: str) -> Sweep:
    """A sweep with everything that is known about its seeds.

    Raises:
        Refused: 404, there is no such sweep.
    """
    with ctx.store.read() as c:
        row = sweep_row(c, sweep)
        history = attempts.history(c, sweep)
        found = StoredSweep(row=row, current=tuple(a for a in history if a.current))
        waiting = waiting_of(ctx, c, row, queued_of(found.current))
    dashboard = ctx.reconciler.health.address if ctx.reconciler is not None else ctx.settings.ray_dashboard
    seeds = [_seed_view(a, [h for h in history if h.seed == a.seed], waiting.get(a.seed), dashboard) for a in found.current]
    return _sweep(ctx, found, seeds)


def sweep_page(
    ctx: Context, *, limit: int = 50, cursor: str | None = None, status: str | None = None, sort: str = "-created_at"
) -> SweepPage:
    """A page of sweeps.

    Args:
        ctx: the service.
        limit: 1 to 200.
        cursor: ``next`` of the page before.
        status: only sweeps in this state.
        sort: created_at or name, with "-" for downwards.

    Raises:
        InputError: the cursor is not of such a list.
    """
    with ctx.store.read() as c:
        page = sweeps.listed(c, limit=limit, after=cursor, state=status, sort=sort)
    lines = [
        SweepLine(
            id=line.id,
            name=line.name,
            state=line.state.value,
            profile=line.profile,
            seeds=line.seeds,
            states={state.value: count for state, count in line.counts.items()},
            n=line.n,
            mean_val_bpb=line.mean_val_bpb,
            max_total_bytes=line.max_total_bytes,
            priority=line.priority,
            created_at=instant(line.created_at),
        )
        for line in page.lines
    ]
    return SweepPage(sweeps=lines, next=page.next)


def _sweep(ctx: Context, found: StoredSweep, seeds: list[SeedView]) -> Sweep:
    row = found.row
    return Sweep(
        id=row.sweep,
        name=row.name,
        state=sweeps.state_of(a.state for a in found.current).value,
        profile=row.profile,
        overrides=dict(row.overrides),
        seeds=seeds,
        priority=row.priority,
        baseline=row.baseline,
        pool=row.pool.value,
        created_at=instant(row.created_at),
        prepared_at=instant(row.prepared_at),
        cancelled_at=instant(row.cancelled_at),
        reported_at=instant(row.reported_at),
        fingerprint=row.fingerprint,
        note=row.note,
        warning=row.warning,
        statistics=statistics(ctx, found),
        event_count=row.event_count,
        links=links(row),
    )


def links(row: SweepRow) -> dict[str, str]:
    """Where else this sweep can be read; ``record`` only where there is one."""
    base = f"/v1/sweeps/{row.sweep}"
    found = {"self": base, "events": f"{base}/events", "results": f"{base}/results.csv", "page": f"/sweeps/{row.sweep}"}
    return found | ({"record": f"{base}/record.zip"} if row.record_path else {})


def _seed_view(row: AttemptRow, history: Sequence[AttemptRow], waiting: Waiting | None, dashboard: str) -> SeedView:
    result = seed_result(row)
    return SeedView(
        seed=row.seed,
        state=row.state.value,
        phase=None if row.state.terminal else row.phase,
        attempt=row.attempt,
        job_id=row.job_id,
        dashboard=f"{dashboard.rstrip('/')}/#/jobs/{row.job_id}" if row.submitted_at is not None else None,
        reason=row.reason,
        warning=row.warning,
        progress=_progress(row.progress) if row.progress else None,
        waiting=waiting,
        gates=[_gate(gate) for gate in row.gates or ()],
        attempts=[_attempt(one) for one in history],
        **_numbers(result),
    )


def _numbers(result: SeedResult) -> dict[str, Any]:
    """The result's numbers under the names of the interface; what JSON cannot carry is absent."""
    seconds = {name: value for name, value in (result.seconds or {}).items() if finite(value) is not None}
    same = (
        "steps",
        "tokens_per_s",
        "mfu",
        "mfu_peak_tflops",
        "scored_tokens",
        "scored_bytes",
        "model_bytes",
        "code_bytes",
        "total_bytes",
        "cap_bytes",
        "slack_bytes",
    )
    return {name: finite(getattr(result, name)) for name in same} | {
        "val_bpb": Scores.model_validate(finite(asdict(result.val_bpb))),
        "val_loss": Scores.model_validate(finite(asdict(result.val_loss))),
        "seconds": seconds,
        "train_s": seconds.get(Phase.TRAIN.value),
        "eval_s": seconds.get(Phase.EVALUATE.value),
    }


def _progress(beat: Mapping[str, Any]) -> Progress:
    """The heartbeat's known fields, as far as they are of the right kind (a job wrote them)."""

    def number(name: str) -> float | None:
        value = finite(beat.get(name))
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def count(name: str) -> int | None:
        value = number(name)
        return None if value is None else int(value)

    phase, at = beat.get("phase"), number("at")
    return Progress(
        phase=phase if isinstance(phase, str) else None,
        step=count("step"),
        steps=count("steps"),
        loss=number("loss"),
        tokens_per_s=number("tokens_per_s"),
        mfu=number("mfu"),
        at=instant(at) if at is not None and 0 <= at < 1e11 else None,
    )


def _gate(gate: Mapping[str, Any]) -> GateRow:
    known = {name: finite(gate.get(name)) for name in GateRow.model_fields if gate.get(name) is not None}
    return GateRow.model_validate({"name": "?", "verdict": "n/a", **known})


def _attempt(row: AttemptRow) -> Attempt:
    return Attempt(
        attempt=row.attempt,
        state=row.state.value,
        job_id=row.job_id,
        reason=row.reason,
        warning=row.warning,
        queued_at=instant(row.queued_at),
        admitted_at=instant(row.admitted_at),
        submitted_at=instant(row.submitted_at),
        running_at=instant(row.running_at),
        ended_at=instant(row.ended_at),
    )
