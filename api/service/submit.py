"""Submitting: a request's body becomes a checked sweep, stored once however often it is sent (P1, P2, P12)."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from api.models import ProblemPart, Sweep, SweepSubmission
from api.problems import Refused
from api.service.context import Context
from api.service.lookup import known_baseline
from api.service.overrides import recipe_of
from api.service.views import sweep_view
from api.store import counts, idempotency, sweeps
from api.store.rows import NewSweep, Pool
from recur.config import Recipe

_SLUG = 24
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RETRY_S = {"Retry-After": "1"}


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The sweep that answers a submission; ``replayed`` when an earlier request with the same key had made it."""

    sweep: Sweep
    replayed: bool


def submit(
    ctx: Context, submission: SweepSubmission, owner: str, idempotency_key: str | None = None, *, request_id: str = ""
) -> Submitted:
    """Store a sweep durably and return it; with a key that was used before, the sweep of then.

    Args:
        ctx: the service.
        submission: the body.
        owner: the identity's, to whom the key belongs.
        idempotency_key: printable ASCII, at most 255 characters.
        request_id: kept with the sweep.

    Raises:
        Refused: 422 for a bad value or a key used with another body, 409 while the first request with it is in progress,
            503 when too much is waiting.
    """
    if idempotency_key is None:
        return Submitted(sweep=sweep_view(ctx, _store(ctx, submission, owner, request_id)), replayed=False)
    if not _KEY.fullmatch(idempotency_key):
        raise Refused(422, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 printable characters", "send a UUID")
    kept = _kept(ctx, submission, owner, idempotency_key)
    if kept is not None:
        return Submitted(sweep=sweep_view(ctx, kept), replayed=True)
    name = (owner, idempotency_key)
    if not ctx.submitting.begin(name):
        detail = "the first request with this Idempotency-Key is in progress"
        raise Refused(409, "idempotency_in_progress", detail, "repeat it in a second", headers=_RETRY_S)
    try:
        return _first(ctx, submission, owner, idempotency_key, request_id)
    finally:
        ctx.submitting.end(name)


def _first(ctx: Context, submission: SweepSubmission, owner: str, key: str, request_id: str) -> Submitted:
    try:
        return Submitted(sweep=sweep_view(ctx, _store(ctx, submission, owner, request_id, key=key)), replayed=False)
    except IntegrityError:  # another request, maybe of another process, was faster
        kept = _kept(ctx, submission, owner, key)
        if kept is None:
            raise
        return Submitted(sweep=sweep_view(ctx, kept), replayed=True)


def _store(ctx: Context, submission: SweepSubmission, owner: str, request_id: str, *, key: str | None = None) -> str:
    """Sweep, attempts, event and key in one transaction."""
    new = _checked(ctx, submission, owner, request_id)
    with ctx.store.write() as c:
        _check_room(ctx, c, len(new.seeds))
        sweeps.create(c, new, ageing_s=ctx.settings.ageing_s)
        if key is not None:  # unique: whoever comes second, in this process or another, fails here and takes nothing in
            idempotency.keep(c, owner, key, body_sha256(submission), new.sweep, now=new.created_at)
        ctx.boundary("before_commit")
    ctx.boundary("after_commit")
    ctx.nudge()
    return new.sweep


def body_sha256(submission: SweepSubmission) -> str:
    """What makes two bodies the same: their values, not their spaces or the order of their keys."""
    text = json.dumps(submission.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _kept(ctx: Context, submission: SweepSubmission, owner: str, key: str) -> str | None:
    with ctx.store.read() as c:
        kept = idempotency.lookup(c, owner, key)
    if kept is None:
        return None
    if kept.body_sha256 != body_sha256(submission):
        detail = "this Idempotency-Key was used with another body"
        raise Refused(422, "idempotency_conflict", detail, "use a new key for a new request")
    return kept.sweep


def _checked(ctx: Context, submission: SweepSubmission, owner: str, request_id: str) -> NewSweep:
    recipe = recipe_of(submission.profile, submission.overrides)
    for at, seed in enumerate(submission.seeds):
        if seed in submission.seeds[:at]:
            part = ProblemPart(pointer=f"/seeds/{at}", detail=f"seed {seed} is named twice", hint="name each seed once")
            raise Refused(422, "invalid_request", part.detail, part.hint, errors=[part])
    now = ctx.clock()
    return NewSweep(
        sweep=new_id(submission.name or submission.profile, now),
        name=submission.name or submission.profile,
        profile=submission.profile,
        overrides=submission.overrides,
        recipe=recipe_tree(recipe),
        seeds=tuple(submission.seeds),
        priority=submission.priority,
        baseline=known_baseline(ctx, submission.baseline),
        pool=Pool.GPU if recipe.cluster.gpus_per_worker else Pool.CPU,
        created_at=now,
        created_by=owner,
        request_id=request_id,
    )


def recipe_tree(recipe: Recipe) -> Mapping[str, Any]:
    """The recipe as JSON data."""
    from recur.recipe import recipe_to_json

    tree: dict[str, Any] = json.loads(recipe_to_json(recipe))
    return tree


def new_id(name: str, now: float) -> str:
    """``<slug of the name>-<yymmdd>-<6 random letters or digits>``: unique, and readable in a job list."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_SLUG].strip("-") or "sweep"
    day = datetime.fromtimestamp(now, UTC).strftime("%y%m%d")
    return f"{slug}-{day}-{''.join(secrets.choice(_ALPHABET) for _ in range(6))}"


def _check_room(ctx: Context, c: Connection, seeds: int) -> None:
    waiting = sum(counts.queue_depth(c).values())
    if waiting + seeds > ctx.settings.max_waiting_seeds:
        detail = f"{waiting:,} seeds are waiting; the queue takes {ctx.settings.max_waiting_seeds:,}"
        raise Refused(503, "queue_full", detail, "wait until some have run, or cancel some", headers={"Retry-After": "60"})
