"""Everything the page of one sweep shows, gathered from the use cases, the store's events and the attempts' folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.models import Progress, SeedView, Sweep
from api.pages.views.curves import read_progress
from api.pages.views.dots import dot_plot
from api.pages.views.headline import headline
from api.pages.views.history import attempt_lines, event_lines
from api.pages.views.sizes import byte_bars
from api.pages.views.stages import stages
from api.pages.views.tables import differences, environment, gate_lines
from api.security import Identity
from api.service import log_tail, profile_view, sweep_view
from api.service.context import Context
from api.store import events, sweeps
from api.store.rows import EventRow, Scope
from recur.record.known import KnownRecord, known_lines, known_records, pr_number
from recur.record.result import State

SHOWN_EVENTS = 60
LOG_LINES = 200


def sweep_values(ctx: Context, identity: Identity, sweep: str, log: int | None) -> dict[str, Any]:
    """The values of the template ``sweep``.

    Args:
        ctx: the service.
        identity: who looks; decides whether the buttons are there.
        sweep: the id.
        log: whose log to show; None for the one that is most worth a look.

    Raises:
        Refused: 404, no such sweep.
    """
    view = sweep_view(ctx, sweep)
    root, now = ctx.folder(view.id), ctx.clock()
    open_ = [s for s in view.seeds if s.state in (State.RUNNING, State.CANCELLING)]
    told = {s.seed: read_progress(root, s.seed, s.attempt) for s in open_}
    shown = _log_seed(view, log)
    return {
        "sweep": view,
        "statistics": view.statistics,
        "headline": headline(view),
        "no_progress": Progress(),
        "may_submit": identity.may(Scope.SUBMIT),
        "downloads": _downloads(view),
        "dots": dot_plot(view.seeds, view.statistics, lines_beside(view.baseline)),
        "bars": byte_bars(view.seeds),
        "stages": stages(view.seeds, told, now),
        "gates": gate_lines(view.seeds),
        "log": {"seed": shown.seed, "text": log_tail(ctx, view.id, shown.seed, lines=LOG_LINES).text},
        "attempts": attempt_lines(view.seeds, now),
        "events": event_lines(_newest_events(ctx, view)),
        "differences": differences(_profile(view.profile), _recipe(ctx, view.id), list(view.overrides)),
        "environment": environment(root, view.seeds),
        "url": f"/sweeps/{view.id}" + (f"?log={log}" if log is not None else ""),
    }


def lines_beside(baseline: str | None) -> list[KnownRecord]:
    """The published lines that a picture shows: those of which every seed is known, and the baseline."""
    number = None if baseline is None else pr_number(baseline)
    shown = list(known_records())
    return shown + [line for line in known_lines() if line.pr == number and line not in shown]


def _downloads(view: Sweep) -> list[tuple[str, str]]:
    names = {"record": "record.zip", "results": "results.csv", "self": "JSON"}
    useful = {"record", "self"} | ({"results"} if view.statistics.n else set())
    return [(name, view.links[link]) for link, name in names.items() if link in useful and link in view.links]


def _log_seed(view: Sweep, wanted: int | None) -> SeedView:
    """The seed asked for, else the first that runs, else the first that ended badly, else the first."""
    order = ("RUNNING", "CANCELLING", "FAILED", "LOST", "TIMED_OUT", "INVALID")
    asked = next((s for s in view.seeds if s.seed == wanted), None)
    return asked or min(view.seeds, key=lambda s: order.index(s.state) if s.state in order else len(order))


def _newest_events(ctx: Context, view: Sweep) -> tuple[EventRow, ...]:
    with ctx.store.read() as c:
        return events.since(c, view.id, max(view.event_count - SHOWN_EVENTS, 0), SHOWN_EVENTS)


def _recipe(ctx: Context, sweep: str) -> Mapping[str, Any]:
    with ctx.store.read() as c:
        row = sweeps.get(c, sweep)
    return row.recipe if row is not None else {}


def _profile(name: str) -> Mapping[str, Any]:
    """The profile's recipe as it ships; of one that does not ship any more nothing is known."""
    from recur.recipe import profile_names

    return profile_view(name).recipe if name in profile_names() else {}
