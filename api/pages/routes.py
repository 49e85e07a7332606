"""The pages that are read: sweeps, one sweep with its curves, the queue, the comparison, the form of a new sweep.

They show what the use cases of `api.service` give; who may see them is decided as for the interface.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from api.models import SweepId
from api.pages.form import DEFAULTS, FIELDS, Form
from api.pages.render import page, part
from api.pages.sweep import sweep_values
from api.pages.views.curves import curve, points_each, read_progress
from api.pages.views.pair import pair_plot
from api.pages.views.tables import flat
from api.pages.words import STATE_WORDS
from api.problems import Refused
from api.security import Identity, require
from api.service import comparison, profile_view, queue_view, sweep_page
from api.service.context import Context, context_of
from api.service.lookup import stored_sweep
from api.store.rows import Scope
from recur.recipe import profile_names
from recur.record.known import known_lines
from recur.record.result import State

PAGE_SIZE = 50
SUGGESTED = 30
FILTERS = tuple(name for name in STATE_WORDS if name not in ("SUBMITTING", "SUBMITTED"))
"""States that a whole sweep can be in."""
Ctx = Annotated[Context, Depends(context_of)]
Reader = Annotated[Identity, Depends(require(Scope.READ))]
Submitter = Annotated[Identity, Depends(require(Scope.SUBMIT))]
SweepPath = Annotated[SweepId, Path()]

pages = APIRouter(include_in_schema=False)


@pages.get("/")
def list_page(
    request: Request,
    ctx: Ctx,
    identity: Reader,
    state: State | None = None,
    after: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Sweeps, newest first."""
    chosen = state.value if state else ""
    shown = sweep_page(ctx, limit=PAGE_SIZE, cursor=after, status=chosen or None)
    url = f"/?{request.url.query}" if request.url.query else "/"
    values = {"page": shown, "state": chosen, "after": after or "", "states": list(STATE_WORDS), "filters": FILTERS, "url": url}
    return page(request, "list", values, here="/")


@pages.get("/sweeps/{sweep}")
def one_sweep(
    request: Request, ctx: Ctx, identity: Reader, sweep: SweepPath, log: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """Everything about one sweep."""
    return page(request, "sweep", sweep_values(ctx, identity, sweep, log))


@pages.get("/sweeps/{sweep}/curves.json")
def curves_json(request: Request, ctx: Ctx, identity: Reader, sweep: SweepPath) -> Response:
    """Loss and tokens/s over steps of every seed's counting attempt."""
    with ctx.store.read() as c:
        found = stored_sweep(c, sweep)
    root = ctx.folder(found.row.sweep)
    most = points_each(len(found.current))
    seeds = [curve(a.seed, a.attempt, read_progress(root, a.seed, a.attempt), most=most) for a in found.current]
    body = json.dumps({"sweep": found.row.sweep, "seeds": seeds}, allow_nan=False).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, media_type="application/json", headers={"ETag": etag})


@pages.get("/queue")
def queue_page(request: Request, ctx: Ctx, identity: Reader) -> Response:
    """What runs, what waits and why."""
    return page(request, "queue", {"queue": queue_view(ctx)}, here="/queue")


@pages.get("/compare")
def compare_page(
    request: Request,
    ctx: Ctx,
    identity: Reader,
    a: Annotated[str, Query(max_length=64)] = "",
    b: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Two sweeps, or a sweep and a published line, beside each other."""
    values: dict[str, Any] = {"a": a, "b": b, "found": None, "plot": None, "refused": None, "suggestions": suggestions(ctx)}
    if a.strip() and b.strip():
        try:
            found = comparison(ctx, a.strip(), b.strip())
            values |= {"found": found, "plot": pair_plot(found.a, found.b)}
        except Refused as refused:
            values["refused"] = refused
    return page(request, "compare", values, here="/compare", status=values["refused"].status if values["refused"] else 200)


@pages.get("/new")
def new_page(request: Request, ctx: Ctx, identity: Submitter) -> Response:
    """The form of a new sweep; its fields can be given in the address."""
    given = {name: request.query_params[name][:2000] for name in FIELDS if name in request.query_params}
    return form_page(request, ctx, Form(values=DEFAULTS | given))


@pages.get("/new/keys")
def keys_part(identity: Submitter, profile: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The keys of a profile with their values."""
    return part("keys", {"keys": keys_of(profile)})


def form_page(request: Request, ctx: Context, form: Form, *, status: int = 200) -> Response:
    """The form with what was typed and what is wrong with it; every showing is one submission, however often it is sent."""
    values = {
        "form": form,
        "profiles": profile_names(),
        "baselines": suggestions(ctx),
        "keys": keys_of(form.values["profile"]),
        "idempotency_key": f"page-{uuid.uuid4()}",
    }
    return page(request, "new", values, here="/new", status=status)


def keys_of(profile: str) -> list[tuple[str, Any]]:
    """``section.key`` and value of a shipped profile; none of another."""
    return list(flat(profile_view(profile).recipe)) if profile in profile_names() else []


def suggestions(ctx: Context) -> list[tuple[str, str]]:
    """What a baseline or a side of a comparison may be: the newest sweeps, then the published lines."""
    newest = [(line.id, line.name) for line in sweep_page(ctx, limit=SUGGESTED).sweeps]
    return newest + [(f"#{line.pr}", f"{line.score_bpb:.5f} {line.name}") for line in known_lines()]
