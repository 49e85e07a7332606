"""Problems, and what the process says about itself."""

from __future__ import annotations

from pydantic import Field

from api.models import examples
from api.models.base import Model
from api.models.examples import shown


class ProblemPart(Model):
    """One wrong place in a request: a JSON pointer, what is wrong, and the cure."""

    pointer: str
    detail: str
    hint: str = ""


class Problem(Model):
    """RFC 9457, with a code, the wrong places, a hint and the request's id."""

    model_config = shown(examples.PROBLEM)
    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[ProblemPart] = Field(default_factory=list)
    hint: str = ""
    request_id: str


class Alive(Model):
    """The process answers."""

    model_config = shown(examples.ALIVE)
    status: str


class Version(Model):
    """What runs here."""

    model_config = shown(examples.VERSION)
    version: str
    source_sha256: str
    python: str
    ray: str | None = None


class Ready(Model):
    """Whether the service can work; ``degraded`` says what is missing while it still accepts submissions."""

    model_config = shown(examples.READY)
    status: str
    database: str
    migrations: str
    reconciler: str
    degraded: str | None = None
