"""The queue, comparisons, profiles and published lines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import service
from api.models import Comparison, ProfileLine, ProfileView, Queue, RecordLine
from api.routes.parameters import Ctx, Reader, problems

router = APIRouter(prefix="/v1", tags=["catalogue"])

_SIDE = r"^([a-z0-9][a-z0-9-]{0,44}|(PR )?#?[0-9]{1,9})$"
Side = Annotated[str, Query(pattern=_SIDE, max_length=45, description="A sweep's id, or a known line like `#1334`.")]


@router.get("/queue", operation_id="read_queue", summary="What runs, what waits and why", responses=problems())
def read_queue(
    ctx: Ctx, identity: Reader, limit: Annotated[int, Query(ge=1, le=500, description="Waiting seeds of each pool.")] = 100
) -> Queue:
    """Slots and who holds them, then the waiting seeds in their order."""
    return service.queue_view(ctx, limit)


@router.get("/compare", operation_id="compare", summary="Compare two sweeps, or a sweep and a line", responses=problems(404))
def compare(ctx: Ctx, identity: Reader, a: Side, b: Side) -> Comparison:
    """Differences are a minus b: below zero, a scores lower."""
    return service.comparison(ctx, a, b)


@router.get("/profiles", operation_id="list_profiles", summary="List the shipped profiles", responses=problems())
def list_profiles(identity: Reader) -> list[ProfileLine]:
    """What a submission can name as its profile."""
    return service.profile_lines()


@router.get("/profiles/{name}", operation_id="get_profile", summary="Read a profile", responses=problems(404))
def get_profile(
    identity: Reader, name: Annotated[str, Path(pattern=r"^[a-z0-9_]{1,64}$", examples=["smoke"], description="Its name.")]
) -> ProfileView:
    """Every key with its value, and the schema of overrides."""
    return service.profile_view(name)


@router.get("/records", operation_id="list_records", summary="List the published lines", responses=problems())
def list_records(identity: Reader) -> list[RecordLine]:
    """Best score first, each with its source and status."""
    return service.record_lines()
