"""Sweeps: submit, list, read, cancel, retry."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from api import service
from api.models import RetryRequest, Sweep, SweepPage, SweepSubmission
from api.routes.parameters import BODY, Ctx, Reader, Submitter, SweepPath, problems

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

POLL_S = 2
"""Seconds after which a client may look again (Retry-After of a 202)."""

Status = Literal["QUEUED", "RUNNING", "CANCELLING", "SUCCEEDED", "INVALID", "CANCELLED", "TIMED_OUT", "LOST", "FAILED"]
Sort = Literal["created_at", "-created_at", "name", "-name"]
_REPEAT = "Repeat a request safely: the same key and body make one sweep, ever."
_LOCATION = {"description": "The sweep's URL.", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "Seconds until it is worth looking again.", "schema": {"type": "integer"}}
_REPLAYED = {"description": "true: an earlier request with this key made the sweep.", "schema": {"type": "string"}}
_ETAG = {"description": "Changes with every byte of the body.", "schema": {"type": "string"}}
_ACCEPTED = {"description": "Stored; it survives a crash.", "headers": {"Location": _LOCATION, "Retry-After": _RETRY_AFTER}}


@router.post(
    "",
    operation_id="submit_sweep",
    summary="Submit a sweep",
    status_code=202,
    responses={
        202: {**_ACCEPTED, "headers": {**_ACCEPTED["headers"], "Idempotency-Replayed": _REPLAYED}},  # type: ignore[dict-item]
        **problems(409, *BODY),
    },
)
def submit_sweep(
    request: Request,
    response: Response,
    ctx: Ctx,
    identity: Submitter,
    submission: SweepSubmission,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=255,
            description="Repeat a request safely: the same key and body make one sweep, ever.",
        ),
    ] = None,
) -> Sweep:
    """One attempt of every seed is queued. The answer comes when that is on disk."""
    found = service.submit(ctx, submission, identity.owner, idempotency_key, request_id=request.state.request_id)
    _accepted(response, found.sweep)
    if found.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return found.sweep


@router.get("", operation_id="list_sweeps", summary="List sweeps", responses=problems())
def list_sweeps(
    ctx: Ctx,
    identity: Reader,
    limit: Annotated[int, Query(ge=1, le=200, description="Lines a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before.")] = None,
    status: Annotated[Status | None, Query(description="Only sweeps in this state.")] = None,
    sort: Annotated[Sort, Query(description='"-" means downwards.')] = "-created_at",
) -> SweepPage:
    """Pages neither skip nor repeat a sweep while others come in."""
    return service.sweep_page(ctx, limit=limit, cursor=cursor, status=status, sort=sort)


@router.get(
    "/{sweep_id}",
    operation_id="get_sweep",
    summary="Read a sweep",
    response_model=Sweep,
    responses={
        200: {"headers": {"ETag": _ETAG}},
        304: {"description": "If-None-Match names what is here.", "headers": {"ETag": _ETAG}},
        **problems(404),
    },
)
def get_sweep(
    ctx: Ctx,
    identity: Reader,
    sweep_id: SweepPath,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", max_length=2000, description="ETags that the client has.")
    ] = None,
) -> Response:
    """Seeds, statistics and verdict as they are now."""
    body = service.sweep_view(ctx, sweep_id).model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, media_type="application/json", headers={"ETag": etag})


@router.post(
    "/{sweep_id}/cancel",
    operation_id="cancel_sweep",
    summary="Cancel a sweep",
    status_code=202,
    responses={202: _ACCEPTED, **problems(404, 409, *BODY)},
)
def cancel_sweep(response: Response, ctx: Ctx, identity: Submitter, sweep_id: SweepPath) -> Sweep:
    """Queued seeds are CANCELLED at once, running ones are CANCELLING until they have ended."""
    found = service.cancel(ctx, sweep_id)
    _accepted(response, found)
    return found


@router.post(
    "/{sweep_id}/retry",
    operation_id="retry_sweep",
    summary="Run failed seeds again",
    status_code=202,
    responses={202: _ACCEPTED, **problems(404, 409, *BODY)},
)
def retry_sweep(
    response: Response, ctx: Ctx, identity: Submitter, sweep_id: SweepPath, body: RetryRequest | None = None
) -> Sweep:
    """The named seeds, or all that ended without success, get a whole new attempt."""
    found = service.retry(ctx, sweep_id, body.seeds if body else None)
    _accepted(response, found)
    return found


def _accepted(response: Response, sweep: Sweep) -> None:
    response.headers["Location"] = sweep.links["self"]
    response.headers["Retry-After"] = str(POLL_S)


def _matches(given: str, etag: str) -> bool:
    """If-None-Match: a list of tags or ``*``, compared weakly (RFC 9110)."""
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return etag in tags or "*" in tags
