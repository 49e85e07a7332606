"""What the routes share: named parameters, the refusal of unknown ones, and the documented problems."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from api.models import ProblemPart, Seed, SweepId
from api.problems import PROBLEM_JSON, Refused
from api.security import Identity, require
from api.service.context import Context, context_of
from api.store.rows import Scope

Ctx = Annotated[Context, Depends(context_of)]
_TITLES = {
    400: "The request is malformed, or addressed to another host",
    401: "A key is required, or this one is not known",
    403: "The key's scope is too small, or the request comes from another site",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "The state of the resource does not allow it",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "A value is refused; errors says where and why",
    429: "Too many requests; Retry-After says how long to wait",
    503: "The database is away, or the queue is full; nothing was stored",
    507: "The disk is full; nothing was stored",
}
_ALWAYS = (400, 401, 403, 422, 429, 503, 507)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented problems of a route: the given statuses and those that every route has."""
    return {status: _documented(status) for status in sorted({*_ALWAYS, *statuses})}


BODY = (408, 413, 415)
"""Problems of routes with a body."""


def _documented(status: int) -> dict[str, Any]:
    return {"description": _TITLES[status], "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not have, and ones given twice.

    Raises:
        Refused: 422.
    """
    dependant = request.scope["route"].dependant
    known = {field.alias for field in dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    parts = []
    for name in dict.fromkeys(given):
        if name not in known:
            hint = f"known: {', '.join(sorted(known)) or 'none'}"
            parts.append(ProblemPart(pointer=f"query/{name[:60]}", detail="is not a parameter of this route", hint=hint))
        elif given.count(name) > 1:
            parts.append(ProblemPart(pointer=f"query/{name}", detail="is given more than once", hint="give it once"))
    if parts:
        raise Refused(422, "unknown_parameter", f"{parts[0].pointer} {parts[0].detail}", parts[0].hint, errors=parts[:20])


def reader(request: Request, identity: Annotated[Identity, Depends(require(Scope.READ))]) -> Identity:
    """The identity first, then the parameters: who may not ask learns nothing about them."""
    known_parameters(request)
    return identity


def submitter(request: Request, identity: Annotated[Identity, Depends(require(Scope.SUBMIT))]) -> Identity:
    """As `reader`, for changes."""
    known_parameters(request)
    return identity


Reader = Annotated[Identity, Depends(reader)]
Submitter = Annotated[Identity, Depends(submitter)]
SweepPath = Annotated[SweepId, Path(alias="sweep_id", description="The sweep's id.", examples=["smoke-261124-a1b2c3"])]
SeedPath = Annotated[Seed, Path(description="One of the sweep's seeds.", examples=[42])]
AttemptQuery = Annotated[int | None, Query(ge=1, le=9999, description="Which attempt; the one that counts by default.")]
