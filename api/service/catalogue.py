"""What does not change while the service runs: profiles, published lines, versions."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import TypeAdapter

from api.models import ProfileLine, ProfileView, RecordLine, RecordSeed, Version
from api.problems import Refused
from api.service.submit import recipe_tree
from recur import __version__
from recur.config import Recipe
from recur.recipe import load_recipe, profile_names, source_sha256
from recur.record.known import KnownRecord, known_lines


def profile_lines() -> list[ProfileLine]:
    """The shipped profiles."""
    return [_line(load_recipe(name)) for name in profile_names()]


def profile_view(name: str) -> ProfileView:
    """A profile with all its keys.

    Raises:
        Refused: 404, there is none of that name.
    """
    if name not in profile_names():
        raise Refused(404, "unknown_profile", f"there is no profile {name!r}", f"choose one of {', '.join(profile_names())}")
    return ProfileView(name=name, recipe=dict(recipe_tree(load_recipe(name))), json_schema=recipe_schema())


@cache
def recipe_schema() -> dict[str, Any]:
    """JSON schema of a recipe: what overrides must satisfy, apart from the rules between values."""
    return TypeAdapter(Recipe).json_schema()


def record_lines() -> list[RecordLine]:
    """The published lines, best score first."""
    return [_record(record) for record in known_lines()]


@cache
def service_version() -> Version:
    """What runs here; the source's hash is the one in every fingerprint."""
    try:
        ray = version("ray")
    except PackageNotFoundError:
        ray = None
    return Version(version=__version__, source_sha256=source_sha256(), python=platform.python_version(), ray=ray)


def _line(recipe: Recipe) -> ProfileLine:
    return ProfileLine(
        name=recipe.profile,
        mode=recipe.mode,
        gpus=recipe.cluster.workers * recipe.cluster.gpus_per_worker,
        cap_bytes=recipe.artifact.cap_bytes,
    )


def _record(record: KnownRecord) -> RecordLine:
    several = len(record.seeds) > 1
    return RecordLine(
        pr=record.pr,
        name=record.name,
        source=record.source,
        author=record.author,
        date=record.date,
        status=record.status,
        accepted=record.is_accepted,
        track=record.track,
        corpus=record.corpus,
        tokenizer=record.tokenizer,
        scoring=record.scoring,
        stride=record.stride,
        cap_bytes=record.cap_bytes,
        code_bytes=record.code_bytes,
        hardware=record.hardware,
        note=record.note,
        val_bpb=record.score_bpb,
        sd_val_bpb=record.val_bpb.sd if several else record.means.sd_bpb if record.means else None,
        n=len(record.seeds) or (record.means.n if record.means else None),
        seeds=[
            RecordSeed(seed=s.seed, val_bpb=s.val_bpb, val_loss=s.val_loss, total_bytes=s.total_bytes, steps=s.steps)
            for s in record.seeds
        ],
    )
