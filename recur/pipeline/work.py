"""What a way of fitting (`recur.pipeline.fitting`) is given of a seed's run, and what its two phases leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from recur.config import Recipe

T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """``[fn(item) for item in items]`` anywhere, with the progress told to the run; see `recur.pipeline.backend.Backend`."""

    def __call__(self, fn: Callable[[T], R], items: Sequence[T], names: Sequence[str]) -> list[R]: ...


@dataclass(frozen=True, kw_only=True)
class Work:
    """One attempt's folder (training and calibration done), its recipe, and where items run.

    Attributes:
        say: told what is being done, for the heartbeat and the log: a kind and its numbers.
    """

    folder: Path
    recipe: Recipe
    seed: int
    map: Mapper
    say: Callable[[str, dict[str, float | int | str]], None]


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What the phase `quantize` leaves: fields of its record, and its payload files in the attempt's folder."""

    fields: dict[str, Any]
    payloads: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What the phase `fit` leaves: the container's bytes and the fields of its record.

    Attributes:
        blob: empty when the cap cannot be reached.
        unreachable: then the reason, naming the smallest size.
    """

    blob: bytes
    fields: dict[str, Any] = field(default_factory=dict)
    unreachable: str | None = None
