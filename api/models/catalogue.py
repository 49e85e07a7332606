"""Profiles and published lines."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.models import examples
from api.models.base import Model
from api.models.examples import shown


class ProfileLine(Model):
    """A shipped profile in a few words."""

    model_config = shown(examples.PROFILE_LINE)
    name: str
    mode: str
    gpus: int
    cap_bytes: int


class ProfileView(Model):
    """A profile with every key, and the schema that overrides must satisfy."""

    model_config = shown(examples.PROFILE)
    name: str
    recipe: dict[str, Any]
    json_schema: dict[str, Any]


class RecordSeed(Model):
    """One published run."""

    seed: int
    val_bpb: float
    val_loss: float | None = None
    total_bytes: int | None = None
    steps: int | None = None


class RecordLine(Model):
    """A published line: ``accepted`` ones are merged or stand in the leaderboard; the mean is over its seeds."""

    model_config = shown(examples.RECORD)
    pr: int
    name: str
    source: str
    author: str = ""
    date: str = ""
    status: str = ""
    accepted: bool = False
    track: str = ""
    corpus: str = ""
    tokenizer: str = ""
    scoring: str = "sliding"
    stride: int | None = None
    cap_bytes: int | None = None
    code_bytes: int | None = None
    hardware: str = ""
    note: str = ""
    val_bpb: float
    sd_val_bpb: float | None = None
    n: int | None = None
    seeds: list[RecordSeed] = Field(default_factory=list)
