"""Published record lines as data (`known.toml`): what other submissions of the challenge scored, seed by seed.

Every number is read from the train logs and `submission.json` in the pull request that ``source`` names; means and
deviations are computed here from the seeds, never copied.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from recur.record.codec import from_json
from recur.record.stats import Spread, spread


@dataclass(frozen=True, kw_only=True)
class KnownSeed:
    """One published run; ``val_bpb`` and ``val_loss`` (nats per token) are the sliding-window score."""

    seed: int
    val_bpb: float
    val_loss: float
    total_bytes: int
    model_bytes: int
    steps: int
    trained_val_bpb: float | None = None
    roundtrip_val_bpb: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnownRecord:
    """One published submission: who, what text and size it was scored on, and its seeds."""

    pr: int
    name: str
    author: str
    date: str
    status: str
    track: str
    corpus: str
    tokenizer: str
    vocab_size: int
    stride: int
    cap_bytes: int
    code_bytes: int
    hardware: str
    source: str
    note: str = ""
    published_val_bpb: float
    published_std: float
    seeds: tuple[KnownSeed, ...]

    @property
    def label(self) -> str:
        """`PR 1334`."""
        return f"PR {self.pr}"

    @property
    def val_bpb(self) -> Spread:
        """Spread of the sliding scores over the seeds."""
        return _spread([s.val_bpb for s in self.seeds])

    @property
    def val_loss(self) -> Spread:
        """Spread of the sliding losses over the seeds, nats per token."""
        return _spread([s.val_loss for s in self.seeds])

    @property
    def total_bytes(self) -> Spread:
        """Spread of model + code over the seeds."""
        return _spread([float(s.total_bytes) for s in self.seeds])


@dataclass(frozen=True, kw_only=True)
class _Catalogue:
    record: tuple[KnownRecord, ...]


@cache
def known_records() -> tuple[KnownRecord, ...]:
    """All published lines, best mean score first.

    Raises:
        ArtifactError: known.toml does not have the shape of `KnownRecord`.
    """
    text = files("recur.record").joinpath("known.toml").read_text(encoding="utf-8")
    catalogue = from_json(_Catalogue, tomllib.loads(text), where="known.toml")
    return tuple(sorted(catalogue.record, key=lambda r: r.val_bpb.mean))


def _spread(values: list[float]) -> Spread:
    result = spread(values)
    if result is None:
        raise ValueError("a published record without seeds")
    return result
