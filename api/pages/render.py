"""Templates become answers: one jinja environment with autoescape, our filters, and hashed names of static files.

A request by htmx gets the live part of a page alone. Nothing here is fetched from elsewhere, and no template has a script
or a style inside, so that the pages run under ``default-src 'self'``.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.models import Problem
from api.pages import words
from api.security import SESSION_COOKIE
from api.service.context import context_of
from recur import __version__

HERE = Path(__file__).parent
STATIC = HERE / "static"


@cache
def environment() -> Environment:
    """The templates of this package."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": words.number,
        "signed": words.signed,
        "percent": words.percent,
        "p": words.probability,
        "duration": words.seconds,
        "moment": words.moment,
        "short_moment": words.short_moment,
        "iso": words.iso,
        "state_word": words.state_word,
        "plural": words.plural,
        "plain": words.plain,
        "sentence": words.sentence,
        "json": lambda value: json.dumps(value, ensure_ascii=False),
    }
    found.globals |= {"static": static_url, "version": __version__}
    return found


@cache
def static_url(name: str) -> str:
    """Address of a static file with a mark of its content, so that a browser's copy is never an old one."""
    mark = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={mark}"


def by_htmx(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def page(request: Request, name: str, values: dict[str, Any], *, here: str = "", status: int = 200) -> Response:
    """A page, or its live part where htmx asks for it and the page has one.

    Args:
        request: the request.
        name: of the template, without ``.html``.
        values: for the template.
        here: the entry of the navigation that is this page.
        status: HTTP status.
    """
    templates = environment()
    if by_htmx(request) and (HERE / "templates" / f"{name}_live.html").exists():
        text = templates.get_template(f"{name}_live.html").render(values)
    else:
        text = templates.get_template(f"{name}.html").render(_frame(request, here) | values)
    return HTMLResponse(text, status_code=status, headers={"Vary": "HX-Request, Cookie"})


def part(name: str, values: dict[str, Any]) -> Response:
    """A part of a page alone."""
    return HTMLResponse(environment().get_template(f"{name}.html").render(values))


def render_problem(request: Request, problem: Problem) -> Response:
    """A refusal as a page; who needs a key is led to the sign-in and from there back."""
    if problem.status == 401:
        target = f"/login?next={_quoted(request.url.path)}"
        if by_htmx(request):
            return Response(status_code=204, headers={"HX-Redirect": target})
        return RedirectResponse(target, status_code=303)
    return page(request, "problem", {"problem": problem}, status=problem.status)


def _frame(request: Request, here: str) -> dict[str, Any]:
    """What the frame around every page shows."""
    ctx = context_of(request)
    health = ctx.reconciler.health if ctx.reconciler is not None else None
    identity = getattr(request.state, "identity", None)
    signed_in = identity.name if identity is not None and SESSION_COOKIE in request.cookies else ""
    return {"here": here, "degraded": health.degraded if health else None, "signed_in": signed_in}


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path, safe="/")
