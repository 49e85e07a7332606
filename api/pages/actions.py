"""What the pages change: submit, cancel, retry, sign in and out.

The same use cases and scopes as the interface. A browser proves itself with the session cookie, which is never sent from
another site, and the service refuses changes whose Origin is another one; so no page of another site can press a button.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from api.pages.form import read_form, submission
from api.pages.render import page
from api.pages.routes import Ctx, Submitter, SweepPath, form_page
from api.problems import Refused
from api.security import authenticate, clear_session, set_session
from api.service import cancel, retry, submit

actions = APIRouter(include_in_schema=False)
_MOST_FIELDS = 200


async def form_data(request: Request) -> FormData:
    """The form's fields; files are not taken.

    Raises:
        Refused: 415, another kind of body.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise Refused(415, "not_a_form", "the body must be a form", "send application/x-www-form-urlencoded")
    return await request.form(max_files=0, max_fields=_MOST_FIELDS)


Data = Annotated[FormData, Depends(form_data)]


@actions.post("/new")
def submit_sweep(request: Request, ctx: Ctx, identity: Submitter, data: Data) -> Response:
    """Submit what the form asks for, or show it again with its errors."""
    form = read_form(data)
    body = submission(form)
    if body is None:
        return form_page(request, ctx, form, status=422)
    key = str(data.get("idempotency_key", "")) or None
    try:
        found = submit(ctx, body, identity.owner, key, request_id=getattr(request.state, "request_id", ""))
    except Refused as refused:
        form.refuse_parts(refused.errors)
        if not refused.errors:
            form.refuse("", refused.detail, refused.hint)
        return form_page(request, ctx, form, status=refused.status)
    return see(f"/sweeps/{found.sweep.id}")


@actions.post("/sweeps/{sweep}/cancel")
def cancel_sweep(ctx: Ctx, identity: Submitter, sweep: SweepPath) -> Response:
    """Ask for the end of all open seeds."""
    return see(f"/sweeps/{cancel(ctx, sweep).id}")


@actions.post("/sweeps/{sweep}/retry")
def retry_sweep(ctx: Ctx, identity: Submitter, sweep: SweepPath, data: Data) -> Response:
    """Run the chosen seeds again."""
    chosen = [str(value) for value in data.getlist("seeds")]
    if not chosen or not all(word.isascii() and word.isdecimal() and len(word) <= 10 for word in chosen):
        raise Refused(422, "no_seed_chosen", "no seed was chosen", "choose at least one seed to run again")
    return see(f"/sweeps/{retry(ctx, sweep, [int(word) for word in chosen]).id}")


@actions.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    """The form that asks for a key."""
    return page(request, "login", {"error": "", "next": local_path(next)})


@actions.post("/login")
def login(request: Request, ctx: Ctx, data: Data) -> Response:
    """Check the key and keep it in the session cookie."""
    secret, target = str(data.get("key", "")).strip(), local_path(str(data.get("next", "/")))
    try:
        authenticate(ctx, secret, request.client.host if request.client else "unknown")
    except Refused as refused:
        return page(request, "login", {"error": f"{refused.detail}; {refused.hint}", "next": target}, status=refused.status)
    answer = see(target)
    set_session(answer, secret, secure=ctx.settings.secure_cookies)
    return answer


@actions.post("/logout")
def logout() -> Response:
    """Forget the key."""
    answer = see("/login")
    clear_session(answer)
    return answer


def see(path: str) -> Response:
    """Go on to ``path`` with a GET."""
    return RedirectResponse(path, status_code=303)


def local_path(target: str) -> str:
    """``target`` if it is a path of this service, else the list: a link must not lead to another site after the sign-in."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return target if plain and target.isprintable() and "\\" not in target else "/"
