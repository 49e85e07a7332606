"""Errors as RFC 9457 problems: `Refused` is what the use cases raise, `problem_response` what a client gets.

Every answer that is not a success goes through here: our refusals, the framework's 404, 405 and 422, the store's 503 and
507, and what nobody expected (500, whose text says nothing about the inside).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from api.models import Problem, ProblemPart
from api.store import StoreUnavailable
from recur.errors import ArtifactError, InputError, RecurError

_log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_S = 2
"""Seconds after which a client may try again when the database was away."""

_CODES = {404: "not_found", 405: "method_not_allowed", 401: "key_required", 403: "not_permitted", 500: "internal_error"}
_MOST_PARTS = 20


class Refused(RecurError):
    """A request that is answered with a problem.

    Args:
        status: HTTP status.
        code: short name of the rule, for programs.
        detail: what is wrong, for people.
        hint: the cure.
        errors: wrong places in the request.
        headers: of the answer, e.g. Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        hint: str = "",
        *,
        errors: Sequence[ProblemPart] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.hint = status, code, detail, hint
        self.errors, self.headers = tuple(errors), dict(headers or {})


def wrong_value(pointer: str, error: InputError) -> Refused:
    """An `InputError` of a request's value as 422 with its place and cure."""
    detail = f"{error.value} {error.rule}".replace("\n", " ")
    part = ProblemPart(pointer=pointer, detail=detail, hint=error.remedy)
    return Refused(422, "invalid_request", detail, error.remedy, errors=[part])


def problem_of(refused: Refused, scope: Scope) -> Problem:
    """The problem document of a refusal, for the request in ``scope``."""
    return Problem(
        type=f"urn:recur:problem:{refused.code}",
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        detail=refused.detail,
        instance=str(scope.get("path", "")),
        code=refused.code,
        errors=list(refused.errors),
        hint=refused.hint,
        request_id=str(scope.get("state", {}).get("request_id", "")),
    )


def problem_response(refused: Refused, scope: Scope) -> Response:
    """The answer to a refused request; never fails, whatever the text holds (everything but ASCII is escaped)."""
    body = json.dumps(problem_of(refused, scope).model_dump(mode="python"), ensure_ascii=True)
    return Response(body, status_code=refused.status, media_type=PROBLEM_JSON, headers=refused.headers)


def add_handlers(app: FastAPI) -> None:
    """Let every error that the application knows become a problem; what it does not know, `api.logs` answers with 500."""
    for kind in (Refused, HTTPException, RequestValidationError, StoreUnavailable, ArtifactError, InputError):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    refused = as_refused(error)
    render = getattr(request.app.state, "render_problem", None)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1")
    if render is not None and wants_page and refused.status < 500:
        page: Response = render(request, problem_of(refused, request.scope))
        page.headers.update(refused.headers)
        return page
    return problem_response(refused, request.scope)


def as_refused(error: Exception) -> Refused:
    """What a client is told about ``error``."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, StoreUnavailable):
        return _unavailable(error)
    if isinstance(error, ArtifactError):
        detail = f"{error.value} {error.rule}"
        return Refused(409, "file_damaged", detail, error.remedy)
    if isinstance(error, InputError):
        return Refused(422, "invalid_request", f"{error.value} {error.rule}", error.remedy)
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "refused")
        return Refused(error.status_code, code, str(error.detail), headers=error.headers)
    return Refused(500, "internal_error", "the service failed on this request", "report the request_id to the operator")


def _unavailable(error: StoreUnavailable) -> Refused:
    headers = {"Retry-After": str(RETRY_S)}
    if error.full:
        return Refused(
            507, "disk_full", "the service's disk is full", "nothing was stored; free space, then repeat", headers=headers
        )
    return Refused(503, "store_unavailable", "the service's database is away", "nothing was stored; repeat", headers=headers)


def _invalid(error: RequestValidationError) -> Refused:
    parts = [_part(problem) for problem in error.errors()[:_MOST_PARTS]]
    detail = "; ".join(f"{part.pointer or 'request'}: {part.detail}" for part in parts[:3])
    return Refused(422, "invalid_request", detail, "see errors", errors=parts)


def _part(problem: Mapping[str, object]) -> ProblemPart:
    """One finding of the validation; a place in the body as a JSON pointer, elsewhere ``query/limit``."""
    loc = problem.get("loc")
    place = [str(part).replace("~", "~0").replace("/", "~1") for part in loc] if isinstance(loc, list | tuple) else []
    pointer = "/" + "/".join(place[1:]) if place[:1] == ["body"] else "/".join(place)
    extra = problem.get("type") in ("extra_forbidden", "unexpected_keyword_argument")
    hint = "leave it out: it is not known" if extra else ""
    return ProblemPart(pointer=pointer, detail=str(problem.get("msg", "is refused")), hint=hint)
