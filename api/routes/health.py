"""Of the process: alive, ready, metrics, version."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response

from api import service
from api.models import Alive, Ready, Version
from api.routes.parameters import Ctx, Reader, known_parameters, problems

router = APIRouter(tags=["process"])

_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "recur_queue_depth 3\n"}}
_OPEN: dict[int | str, dict[str, Any]] = {400: problems()[400], 422: problems()[422]}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_KNOWN = [Depends(known_parameters)]


@router.get("/healthz", operation_id="healthz", summary="Is the process alive", dependencies=_KNOWN, responses=_OPEN)
async def healthz() -> Alive:
    """Needs no key and touches nothing."""
    return Alive(status="ok")


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can it work",
    dependencies=_KNOWN,
    responses={**_OPEN, 503: {"model": Ready, "description": "It cannot."}},
)
def readyz(ctx: Ctx, response: Response) -> Ready:
    """Database, migrations and reconciler. A job system that is away is `degraded`, not a failure. Needs no key."""
    found = service.readiness(ctx)
    response.status_code = 200 if found.ready else 503
    return found.body


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"description": "Text format.", "content": _TEXT}, **problems()},
)
def metrics(ctx: Ctx, identity: Reader) -> Response:
    """Requests, queue, seeds by state, rounds of the reconciler, scores."""
    return Response(ctx.metrics.text(), media_type=_METRICS_TYPE)


@router.get("/version", operation_id="version", summary="What runs here", responses=problems())
def version(identity: Reader) -> Version:
    """Versions, and the hash of the source that every fingerprint holds."""
    return service.service_version()
