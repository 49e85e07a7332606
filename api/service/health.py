"""Whether the service can work: the database, its migrations, the reconciler's pulse, the job system."""

from __future__ import annotations

from dataclasses import dataclass

from api.models import Ready
from api.service.context import Context
from api.store import StoreUnavailable

STALE_TICKS = 30
"""Rounds without a sign after which the reconciler counts as stuck."""
_LEAST_STALE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """The answer, and whether it is "yes"."""

    ready: bool
    body: Ready


def readiness(ctx: Context) -> Readiness:
    """Database, migrations, reconciler. A job system that is away only degrades: submissions are still taken in."""
    try:
        ctx.store.check()
        state = ctx.store.migrations()
        database, migrations = "ok", "ok" if state.up_to_date else f"at {state.current}, wanted {state.head}"
    except StoreUnavailable as error:
        database, migrations = str(error), "not known"
    reconciler, degraded = _reconciler(ctx)
    ready = database == migrations == "ok" and reconciler in ("ok", "off")
    status = "not ready" if not ready else "degraded" if degraded else "ready"
    body = Ready(status=status, database=database, migrations=migrations, reconciler=reconciler, degraded=degraded)
    return Readiness(ready=ready, body=body)


def _reconciler(ctx: Context) -> tuple[str, str | None]:
    if ctx.reconciler is None:
        return "off", None
    health = ctx.reconciler.health
    if health.at is None:
        return "has not looked yet", health.degraded
    age_s = ctx.clock() - health.at
    stale = age_s > max(_LEAST_STALE_S, STALE_TICKS * ctx.settings.tick_s)
    return f"its last round was {age_s:.0f} s ago" if stale else "ok", health.degraded
