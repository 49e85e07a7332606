"""What a client raises: a refused request is the user's to mend, everything else is the service's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recur.errors import InputError, RecurError

_LONGEST = 300
_HINTS = {
    401: "set RECUR_API_KEY to a key of this service; an admin makes one with `python -m api key create`",
    403: "use a key with a wider scope",
    404: "see `recur sweep list`",
    429: "try again later",
}


class ServiceAway(RecurError):
    """The service did not answer, or could not do what it was asked now.

    Attributes:
        status: HTTP status; None where there was no answer.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class RequestRefused(InputError):
    """The service refused the request (4xx).

    Attributes:
        status: HTTP status.
        code: the problem's code, "" where the answer was no problem document.
    """

    def __init__(self, value: str, rule: str, remedy: str, *, status: int, code: str) -> None:
        super().__init__(value, rule, remedy)
        self.status, self.code = status, code


def error_of(url: str, status: int, body: bytes) -> RequestRefused | ServiceAway:
    """The exception that an answer of 400 or more deserves.

    Args:
        url: what was asked for.
        status: the answer's status.
        body: the answer's body, a problem document or anything.
    """
    problem = _document(body)
    detail = _line(problem.get("detail") or problem.get("title") or f"{url} answered")
    code = _line(problem.get("code") or "")
    marked = f"({status} {code})".replace(" )", ")")
    if status >= 500:
        hint = _line(problem.get("hint") or "")
        return ServiceAway(f"{detail} {marked}" + (f"; {hint}" if hint else ""), status)
    part = _first_part(problem)
    if part:
        value, rule = _line(part.get("pointer") or "the request"), f"{_line(part.get('detail') or detail)} {marked}"
        hint = _line(part.get("hint") or problem.get("hint") or "")
        return RequestRefused(f"{value}:", rule, hint or _HINTS.get(status, "correct the request"), status=status, code=code)
    hint = _line(problem.get("hint") or "") or _HINTS.get(status, "correct the request")
    return RequestRefused(detail.rstrip("."), marked, hint, status=status, code=code)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _first_part(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = problem.get("errors")
    return parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], dict) else {}


def _line(text: object) -> str:
    """One printable line of an answer that may come from anywhere."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:_LONGEST].strip()
