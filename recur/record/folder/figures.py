"""The published numbers: what the logs print, rounded once, and everything else computed from those.

A log shows 8 decimals. Means, deviations and tests are therefore taken over the values as printed, so that whoever has only
the logs gets the very same numbers. Bytes are those of the shipped files: the artifact and the script of the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recur.record.folder.source import FolderSource, SeedSource
from recur.record.result import Phase
from recur.record.stats import Spread, spread

PLACES = 8
"""Decimals of a score in the published logs."""


@dataclass(frozen=True, kw_only=True)
class SeedFigures:
    """One counting seed as published; losses in nats per token, None where the run did not measure it."""

    seed: int
    val_bpb: float
    val_loss: float
    trained_bpb: float | None
    trained_loss: float | None
    roundtrip_bpb: float | None
    steps: int
    model_bytes: int
    total_bytes: int
    train_s: float | None
    data_read_s: float | None
    eval_s: float | None

    @property
    def step_avg_ms(self) -> float | None:
        """Training seconds over steps, milliseconds."""
        return None if self.train_s is None else _rounded(1000 * self.train_s / self.steps, 3)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All counting seeds; ``code_bytes`` is the size of the shipped script."""

    seeds: tuple[SeedFigures, ...]
    code_bytes: int

    @property
    def val_bpb(self) -> Spread:
        """Over the seeds, bits per byte."""
        return _certain(self.over(lambda s: s.val_bpb))

    @property
    def val_loss(self) -> Spread:
        """Over the seeds, nats per token."""
        return _certain(self.over(lambda s: s.val_loss))

    @property
    def total_bytes(self) -> Spread:
        """Over the seeds, artifact and script."""
        return _certain(self.over(lambda s: s.total_bytes))

    @property
    def max_total_bytes(self) -> int:
        """The number that the cap binds."""
        return max(s.total_bytes for s in self.seeds)

    def over(self, value: Callable[[SeedFigures], float | None]) -> Spread | None:
        """Spread of a value over the seeds; None where one seed lacks it."""
        values = [found for seed in self.seeds if (found := value(seed)) is not None]
        return spread(values) if len(values) == len(self.seeds) else None


def published(source: FolderSource, code_bytes: int) -> Figures:
    """The numbers of a sweep with a script of ``code_bytes`` bytes."""
    return Figures(seeds=tuple(_seed(seed, code_bytes) for seed in source.seeds), code_bytes=code_bytes)


def _seed(seed: SeedSource, code_bytes: int) -> SeedFigures:
    result = seed.result
    model_bytes = seed.artifact.stat().st_size
    return SeedFigures(
        seed=result.seed,
        val_bpb=_score(result.val_bpb.sliding),
        val_loss=_score(result.val_loss.sliding),
        trained_bpb=_rounded(result.val_bpb.trained),
        trained_loss=_rounded(result.val_loss.trained),
        roundtrip_bpb=_rounded(result.val_bpb.roundtrip),
        steps=int(result.steps or 0),
        model_bytes=model_bytes,
        total_bytes=model_bytes + code_bytes,
        train_s=_rounded(_number(seed, "train_s"), 3),
        data_read_s=_rounded(_number(seed, "data_read_s"), 3),
        eval_s=_rounded(_number(seed, "eval_s"), 3),
    )


def seed_seconds(seed: SeedSource, phase: Phase) -> float | None:
    """Seconds of a whole phase, from its record or from training's own summary."""
    found = (seed.result.seconds or {}).get(phase.value)
    return None if found is None else float(found)


def _number(seed: SeedSource, name: str) -> float | None:
    found = seed.clock.get(name)
    return float(found) if isinstance(found, int | float) else None


def _score(value: float | None) -> float:
    """`recur.record.folder.source.gather` refuses a seed without one."""
    rounded = _rounded(value)
    if rounded is None:
        raise ValueError("a counting seed without a sliding score")
    return rounded


def _rounded(value: float | None, places: int = PLACES) -> float | None:
    return None if value is None else round(value, places)


def _certain(found: Spread | None) -> Spread:
    if found is None:
        raise ValueError("a record folder without counting seeds")
    return found
