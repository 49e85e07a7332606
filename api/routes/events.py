"""A sweep's events as they happen: server-sent events, continued by Last-Event-ID without a gap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.events import is_finished
from api.problems import Refused
from api.routes.parameters import Ctx, Reader, SweepPath, problems
from api.service.lookup import stored_sweep

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

_LAST = "Number of the last event that the client has."
LastEvent = Annotated[str, Header(alias="Last-Event-ID", max_length=18, pattern=r"^[0-9]*$", description=_LAST)]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a client wants to go on: after event ``after`` of those up to ``newest``."""

    sweep: str
    after: int
    newest: int


class NothingMore(Exception):
    """The client has every event of a finished sweep: 204 tells its EventSource not to come back."""


def place(
    ctx: Ctx,
    identity: Reader,
    sweep_id: SweepPath,
    last_event_id: Annotated[
        str,
        Header(alias="Last-Event-ID", max_length=18, pattern=r"^[0-9]*$", description="Number of the last event the client has."),
    ] = "",
) -> Place:
    """Look the sweep up before the stream begins, while there is still a status to answer with."""
    after = int(last_event_id or 0)
    with ctx.store.read() as c:
        found = stored_sweep(c, sweep_id)
    row = found.row
    if after > row.event_count:
        detail = f"sweep {sweep_id} has {row.event_count} events, not {after}"
        raise Refused(422, "unknown_event", detail, "leave Last-Event-ID out to begin with the first")
    ended = [attempt.state.terminal for attempt in found.current]
    if after == row.event_count and after > 0 and is_finished(ended, row.reported_at, row.prepared_at):
        raise NothingMore
    return Place(sweep=row.sweep, after=after, newest=row.event_count)


@router.get(
    "/{sweep_id}/events",
    operation_id="stream_events",
    summary="Follow a sweep",
    response_class=EventSourceResponse,
    responses={204: {"description": "Nothing more will come."}, **problems(404)},
)
async def stream_events(ctx: Ctx, where: Annotated[Place, Depends(place)]) -> AsyncIterator[ServerSentEvent]:
    """Every event once and in order; `end` when the last seed has ended and the report is written."""
    async for told in ctx.events.follow(where.sweep, where.after, where.newest):
        yield told
