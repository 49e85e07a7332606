"""Two sweeps of the same seeds with different profiles, as numbers and as one small table.

The tax is what storing costs: bits per byte of the model read back from its artifact minus those of the trained weights,
both in plain mode. Means, and the difference of the means, are over the seeds that SUCCEEDED in both sweeps.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recur.record.result import SeedResult, State, SweepResult
from recur.record.stats import spread
from recur.record.table import decimals

_PLACES = (5, 5, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is compared of a seed, a mean or a difference; None where it was not measured. The order is the table's."""

    sliding_bpb: float | None = None
    tax_bpb: float | None = None
    total_bytes: float | None = None
    slack_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The figures of one seed, or the means, in both sweeps."""

    name: str
    first: Figures
    other: Figures


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both sweeps seed by seed; ``difference`` is the first's mean minus the other's, ``n`` the seeds in both means."""

    profiles: tuple[str, str]
    n: int
    pairs: tuple[Pair, ...]
    means: Pair
    difference: Figures
    notes: tuple[str, ...]


def compare(first: SweepResult, other: SweepResult) -> Comparison:
    """The numbers of two sweeps, seed by seed in the order of the first."""
    theirs = {seed.seed: seed for seed in other.seeds}
    both = [(seed, theirs[seed.seed]) for seed in first.seeds if seed.seed in theirs]
    good = [pair for pair in both if all(seed.state is State.SUCCEEDED for seed in pair)]
    means = Pair(
        name=f"mean n={len(good)}",
        first=_mean([_figures(mine) for mine, _ in good]),
        other=_mean([_figures(their) for _, their in good]),
    )
    return Comparison(
        profiles=(first.profile, other.profile),
        n=len(good),
        pairs=tuple(Pair(name=str(a.seed), first=_figures(a), other=_figures(b)) for a, b in both),
        means=means,
        difference=_difference(means.first, means.other),
        notes=tuple(_notes(good)),
    )


def beside_table(first: SweepResult, other: SweepResult) -> Table:
    """Two rows a seed, two rows of means, one of their difference; an absent value is "-"."""
    compared = compare(first, other)
    table = Table(
        title=escape(" beside ".join(compared.profiles)),
        caption=escape("\n".join(compared.notes)) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("seed", overflow="fold")
    table.add_column("profile", overflow="fold")
    for header in ("sliding\nval_bpb", "round-trip\ntax", "total\nbytes", "slack\nbytes"):
        table.add_column(header, justify="right", overflow="fold")
    for pair in (*compared.pairs, compared.means):
        table.add_row(pair.name, escape(compared.profiles[0]), *_cells(pair.first))
        table.add_row("", escape(compared.profiles[1]), *_cells(pair.other), end_section=True)
    table.add_row("difference", "", *_cells(compared.difference, signed=True))
    return table


def plain_beside(first: SweepResult, other: SweepResult, *, width: int = 100) -> str:
    """`beside_table` as text without colours, at most ``width`` characters wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as text:
        console.print(beside_table(first, other))
    return "\n".join(line.rstrip() for line in text.get().splitlines()) + "\n"


def _figures(seed: SeedResult) -> Figures:
    scores = seed.val_bpb
    tax_bpb = None if scores.trained is None or scores.roundtrip is None else scores.roundtrip - scores.trained
    return Figures(
        sliding_bpb=scores.sliding,
        tax_bpb=tax_bpb,
        total_bytes=seed.total_bytes,
        slack_bytes=seed.slack_bytes,
    )


def _mean(figures: Sequence[Figures]) -> Figures:
    """Mean of each figure that every seed has."""
    columns = {name: [getattr(one, name) for one in figures] for name in Figures.__dataclass_fields__}
    spreads = {name: None if None in values else spread(values) for name, values in columns.items()}
    return Figures(**{name: found.mean if found else None for name, found in spreads.items()})


def _difference(first: Figures, other: Figures) -> Figures:
    pairs = zip(Figures.__dataclass_fields__, astuple(first), astuple(other), strict=True)
    return Figures(**{name: None if a is None or b is None else a - b for name, a, b in pairs})


def _notes(pairs: Sequence[tuple[SeedResult, SeedResult]]) -> list[str]:
    """What keeps the two from being compared."""
    rules = {"scored_bytes": "the scored texts differ: scores cannot be compared", "cap_bytes": "the caps differ"}
    return [told for name, told in rules.items() if any(getattr(a, name) != getattr(b, name) for a, b in pairs)]


def _cells(figures: Figures, *, signed: bool = False) -> list[str]:
    """The figures as text; ``signed`` puts a plus before what is above zero."""
    values: list[float | None] = list(astuple(figures))
    plus = ["+" if signed and value is not None and value > 0 else "" for value in values]
    return [sign + decimals(value, places) for sign, value, places in zip(plus, values, _PLACES, strict=True)]
