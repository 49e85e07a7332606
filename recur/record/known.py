"""Published record lines as data (`known.toml`): what other submissions of the challenge scored.

A line has its seeds, or the mean its ``source`` gives (with deviation and n only where those are given), never both made
up from each other. Means and deviations of lines with seeds are computed here. What is not known is absent.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from recur.errors import InputError
from recur.record.codec import from_json
from recur.record.stats import Spread, spread
from recur.record.stats.units import implied_bytes_per_token

MERGED = "merged"


@dataclass(frozen=True, kw_only=True)
class KnownSeed:
    """One published run; ``val_bpb`` and ``val_loss`` (nats per token) are the score that the line stands for."""

    seed: int
    val_bpb: float
    val_loss: float | None = None
    total_bytes: int | None = None
    model_bytes: int | None = None
    steps: int | None = None
    trained_val_bpb: float | None = None
    roundtrip_val_bpb: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnownMeans:
    """Means over a line's seeds as they were published; ``final_bpb`` is the score after test-time training.

    ``sd_bpb`` (sample deviation) and ``n`` belong to the score the line stands for: `KnownRecord.score_bpb`.
    """

    trained_bpb: float | None = None
    roundtrip_bpb: float | None = None
    sliding_bpb: float | None = None
    final_bpb: float | None = None
    val_loss: float | None = None
    sd_bpb: float | None = None
    sd_loss: float | None = None
    n: int | None = None
    steps: int | None = None
    total_bytes: float | None = None
    code_kb: float | None = None


@dataclass(frozen=True, kw_only=True)
class KnownRecord:
    """One published submission: who, what text and size it was scored on, and its seeds or means.

    ``status`` is merged, open or closed, or "" where it is not known; ``accepted`` lines stand in the official leaderboard
    (some of them without a merge).
    """

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
    vocab_size: int | None = None
    stride: int | None = None
    cap_bytes: int | None = None
    code_bytes: int | None = None
    hardware: str = ""
    note: str = ""
    base_pr: int | None = None
    published_val_bpb: float | None = None
    published_std: float | None = None
    means: KnownMeans | None = None
    seeds: tuple[KnownSeed, ...] = ()

    @property
    def label(self) -> str:
        """`PR 1334`."""
        return f"PR {self.pr}"

    @property
    def is_accepted(self) -> bool:
        """Merged, or a row of the official leaderboard."""
        return self.accepted or self.status == MERGED

    @property
    def score_bpb(self) -> float:
        """The score the line stands for: mean of its seeds, else its published final or sliding mean."""
        if self.seeds:
            return self.val_bpb.mean
        means = self.means or KnownMeans()
        found = means.sliding_bpb if means.final_bpb is None else means.final_bpb
        if found is None:
            raise ValueError(f"{self.label} has no score")
        return found

    @property
    def val_bpb(self) -> Spread:
        """Spread of the scores over the seeds; only for lines with seeds."""
        return self._spread([s.val_bpb for s in self.seeds])

    @property
    def val_loss(self) -> Spread:
        """Spread of the losses over the seeds, nats per token; only for complete lines."""
        return self._spread([s.val_loss for s in self.seeds if s.val_loss is not None])

    @property
    def total_bytes(self) -> Spread:
        """Spread of model + code over the seeds; only for lines with seeds and their bytes."""
        return self._spread([float(s.total_bytes) for s in self.seeds if s.total_bytes is not None])

    @property
    def is_complete(self) -> bool:
        """Whether every seed is known with its loss and bytes."""
        return bool(self.seeds) and all(s.val_loss is not None and s.total_bytes is not None for s in self.seeds)

    @property
    def scoring(self) -> str:
        """What the score is of: "sliding", or "ttt" after test-time training."""
        return "ttt" if self.means and self.means.final_bpb is not None else "sliding"

    def _spread(self, values: list[float]) -> Spread:
        result = spread(values)
        if result is None:
            raise ValueError(f"{self.label} is published without seeds")
        return result


@dataclass(frozen=True, kw_only=True)
class _Catalogue:
    record: tuple[KnownRecord, ...]


@cache
def known_lines() -> tuple[KnownRecord, ...]:
    """All published lines, best score first.

    Raises:
        ArtifactError: known.toml does not have the shape of `KnownRecord`.
    """
    text = files("recur.record").joinpath("known.toml").read_text(encoding="utf-8")
    catalogue = from_json(_Catalogue, tomllib.loads(text), where="known.toml")
    return tuple(sorted(catalogue.record, key=lambda r: r.score_bpb))


@cache
def known_records() -> tuple[KnownRecord, ...]:
    """The lines of which every seed, loss and byte is known, best mean score first: the ones that pictures draw."""
    return tuple(r for r in known_lines() if r.is_complete)


@cache
def bytes_per_token_of(tokenizer: str) -> float | None:
    """Bytes per token of the challenge's text under a published tokenizer, from a complete line; None if there is none."""
    lines = [r for r in known_records() if r.tokenizer == tokenizer]
    return implied_bytes_per_token(lines[0].val_loss.mean, lines[0].val_bpb.mean) if lines else None


def find_known(text: str, lines: Sequence[KnownRecord] | None = None) -> KnownRecord:
    """The line that ``text`` names: `#1334`, `pr1334`, `PR 1334` or `1334`.

    Raises:
        InputError: there is no such line; near ones are named.
    """
    among = known_lines() if lines is None else lines
    number = pr_number(text)
    for record in among:
        if record.pr == number:
            return record
    numbers = sorted(r.pr for r in among)
    if number is not None:
        numbers = sorted(numbers, key=lambda pr: abs(pr - number))[:3]
    listed = ", ".join(f"#{pr}" for pr in numbers)
    raise InputError(f"{text!r}", "is not a known line", f"{'known' if number is None else 'near'}: {listed}")


def pr_number(text: str) -> int | None:
    """The pull request that ``text`` is the name of and nothing else; None if it is not one."""
    found = re.fullmatch(r"\s*(?:pr)?\s*#?\s*([0-9]+)\s*", text, re.IGNORECASE)
    return int(found.group(1)) if found else None
