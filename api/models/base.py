"""Base of all resources, and what names look like."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SweepId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,44}$")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Model(BaseModel):
    """Base of all resources."""

    model_config = ConfigDict(extra="forbid", frozen=True)
