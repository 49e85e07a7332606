"""Published record lines as data (`known.toml`): what other submissions of the challenge scored.

A line has its seeds, or the mean its ``source`` gives (with deviation and n only where those are given), never both made
up from each other. Means and deviations of lines with seeds are computed here. What is not known is absent.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from recur.errors import InputError
from recur.record.codec import from_json
from recur.record.stats import Spread, spread

MERGED = "merged"


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
    """One published submission: who, what text and size it was scored on, and its seeds or means; ``status`` "" is unknown."""

    pr: int
    name: str
    source: str
    author: str = ""
    date: str = ""
    status: str = ""
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
        """Spread of the sliding scores over the seeds; only for lines with seeds."""
        return self._spread([s.val_bpb for s in self.seeds])

    @property
    def val_loss(self) -> Spread:
        """Spread of the sliding losses over the seeds, nats per token; only for lines with seeds."""
        return self._spread([s.val_loss for s in self.seeds])

    @property
    def total_bytes(self) -> Spread:
        """Spread of model + code over the seeds; only for lines with seeds."""
        return self._spread([float(s.total_bytes) for s in self.seeds])

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
    """The lines with every seed, best mean score first: what pictures draw and tests of significance need."""
    return tuple(r for r in known_lines() if r.seeds)


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
    names = [str(r.pr) for r in among]
    near = get_close_matches(str(number if number is not None else text), names, n=3, cutoff=0.5)
    shown = near or sorted(names, key=int)
    raise InputError(f"{text!r}", "is not a known line", f"{'near' if near else 'known'}: {', '.join('#' + n for n in shown)}")


def pr_number(text: str) -> int | None:
    """The pull request that ``text`` is the name of and nothing else; None if it is not one."""
    found = re.fullmatch(r"\s*(?:pr)?\s*#?\s*([0-9]+)\s*", text, re.IGNORECASE)
    return int(found.group(1)) if found else None
