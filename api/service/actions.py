"""Cancelling and retrying (P4, P7, P9): what may be asked for, decided in the transaction that does it."""

from __future__ import annotations

from sqlalchemy import Connection

from api.models import ProblemPart, Sweep
from api.problems import Refused
from api.service.context import Context
from api.service.lookup import StoredSweep, listed, stored_sweep
from api.service.views import sweep_view
from api.store import attempts, sweeps
from api.store.rows import AttemptRow
from recur.record.result import State


def cancel(ctx: Context, sweep: str) -> Sweep:
    """Ask for the end of all open seeds; asking again changes nothing.

    Raises:
        Refused: 404 without such a sweep, 409 when all its seeds have ended by themselves.
    """
    with ctx.store.write() as c:
        found = stored_sweep(c, sweep)
        if found.row.cancelled_at is None:
            if all(row.state.terminal for row in found.current):
                raise Refused(409, "not_cancellable", f"every seed of {sweep} has ended", "there is nothing to cancel")
            ctx.boundary("cancel_intent")
            sweeps.cancel_asked(c, sweep, now=ctx.clock())
    ctx.nudge()
    return sweep_view(ctx, sweep)


def retry(ctx: Context, sweep: str, seeds: list[int] | None = None) -> Sweep:
    """Queue a new attempt of the named seeds; without names, of every seed that ended without success.

    Raises:
        Refused: 404 without such a sweep, 422 for a seed it does not have, 409 where a seed still runs, has succeeded, or
            nothing has failed.
    """
    with ctx.store.write() as c:
        found = stored_sweep(c, sweep)
        for row in _chosen(found, seeds):
            _again(ctx, c, row)
    ctx.nudge()
    return sweep_view(ctx, sweep)


def _chosen(found: StoredSweep, seeds: list[int] | None) -> list[AttemptRow]:
    sweep = found.row.sweep
    if seeds is None:
        rows = [row for row in found.current if row.state.terminal and row.state is not State.SUCCEEDED]
        if not rows:
            raise Refused(409, "nothing_to_retry", f"no seed of {sweep} has ended without success", "name seeds that have failed")
        return rows
    current = {row.seed: row for row in found.current}
    for at, seed in enumerate(seeds):
        if seed not in current or seed in seeds[:at]:
            what = f"sweep {sweep} has no seed {seed}" if seed not in current else f"seed {seed} is named twice"
            part = ProblemPart(pointer=f"/seeds/{at}", detail=what, hint=f"its seeds: {listed(found.row.seeds)}")
            raise Refused(422, "invalid_request", what, part.hint, errors=[part])
    rows = [current[seed] for seed in seeds]
    for row in rows:
        if not row.state.terminal:
            raise Refused(409, "not_retryable", f"seed {row.seed} is {row.state}", "wait until it has ended, or cancel it")
        if row.state is State.SUCCEEDED:
            raise Refused(409, "not_retryable", f"seed {row.seed} has SUCCEEDED", "a result that counts is never replaced")
    return rows


def _again(ctx: Context, c: Connection, row: AttemptRow) -> None:
    """A whole new attempt; it takes over the finished phases of the last one, unless those are what was INVALID."""
    ran = row.admitted_at is not None and row.state is not State.INVALID
    adopt_from = row.attempt if ran else None if row.state is State.INVALID else row.adopt_from
    attempts.retry(
        c,
        row.sweep,
        row.seed,
        now=ctx.clock(),
        ageing_s=ctx.settings.ageing_s,
        adopt_from=adopt_from,
        automatic=None,
    )
