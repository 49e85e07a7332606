"""What requests carry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from api.models import examples
from api.models.base import Model, Seed
from api.models.examples import shown

StrictSeed = Annotated[Seed, Field(strict=True)]
"""In a body true is no number."""


class SweepSubmission(Model):
    """Body of ``POST /v1/sweeps``."""

    model_config = shown(examples.SUBMISSION)
    profile: Annotated[str, Field(max_length=64)]
    overrides: Annotated[dict[str, JsonValue], Field(max_length=100)] = Field(default_factory=dict)
    seeds: Annotated[list[StrictSeed], Field(min_length=1, max_length=100)]
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    priority: Annotated[int, Field(ge=-100, le=100, strict=True)] = 0
    baseline: Annotated[str, Field(max_length=64)] | None = None


class RetryRequest(Model):
    """Body of ``POST /v1/sweeps/{id}/retry``: seeds to run again; without them every seed that ended without success."""

    model_config = shown(examples.RETRY)
    seeds: Annotated[list[StrictSeed], Field(min_length=1, max_length=100)] | None = None
