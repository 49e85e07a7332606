"""Two arms beside each other."""

from __future__ import annotations

from pydantic import Field, JsonValue

from api.models import examples
from api.models.base import Model
from api.models.examples import shown
from api.models.sweep import Interval, WelchTest


class ArmView(Model):
    """One side of a comparison."""

    label: str
    seeds: list[int] = Field(default_factory=list)
    val_bpb: list[float] = Field(default_factory=list)
    n: int | None = None
    mean_val_bpb: float | None = None
    sd_val_bpb: float | None = None
    mean_val_loss: float | None = None
    mean_total_bytes: float | None = None
    max_total_bytes: int | None = None
    stride: int | None = None
    status: str = ""


class PolicyView(Model):
    """One rule of the challenge for a new record; ``passed`` is null where it cannot be judged."""

    policy: str
    passed: bool | None
    p: float | None
    told: str


class ConfigChange(Model):
    """One key of the recipe that differs, with dots; null on the side that does not have it."""

    key: str
    a: JsonValue = None
    b: JsonValue = None


class Comparison(Model):
    """``a`` against ``b``: differences are a minus b, below zero a is better. ``finding`` is the whole in a sentence."""

    model_config = shown(examples.COMPARISON)
    finding: str
    relation: str
    a: ArmView
    b: ArmView
    difference_bpb: float | None = None
    difference_loss: float | None = None
    difference_bytes: float | None = None
    interval_95: Interval | None = None
    tests: list[WelchTest] = Field(default_factory=list)
    policies: list[PolicyView] = Field(default_factory=list)
    config: list[ConfigChange] | None = None
    warnings: list[str] = Field(default_factory=list)
