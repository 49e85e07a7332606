"""A sweep as one table for the terminal, and the same as plain text."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recur.record.result import Phase, SeedResult, State, SweepResult

_STYLE = {State.SUCCEEDED: "green", State.FAILED: "red", State.LOST: "red", State.TIMED_OUT: "red"}


def sweep_table(result: SweepResult) -> Table:
    """One row a seed and a row of means; an absent value is "-", a seed that ended badly is explained below."""
    table = Table(
        title=f"sweep {escape(result.sweep)} | profile {escape(result.profile)}",
        caption=_legend(result),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    mean = decimals(result.mean_val_bpb, 5)
    deviation = f"±{decimals(result.std_val_bpb, 5)}"
    columns = (
        ("seed", f"mean\nn={result.n}"),
        ("state", ""),
        ("steps", ""),
        ("val_bpb\ntrained", ""),
        ("round\ntrip", ""),
        ("\nsliding", f"{mean}\n{deviation}"),
        ("total\nbytes", decimals(result.mean_total_bytes, 0)),
        ("slack\nbytes", ""),
        ("train\ns", ""),
    )
    for header, footer in columns:
        # in a narrow terminal a number goes on in the next line; none is cut off
        table.add_column(header, footer, justify="left" if header == "state" else "right", overflow="fold")
    for seed in result.seeds:
        table.add_row(*_row(seed))
    return table


def plain_table(result: SweepResult, *, width: int = 100) -> str:
    """`sweep_table` as text without colours, at most ``width`` characters wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as text:
        console.print(sweep_table(result))
    return "\n".join(line.rstrip() for line in text.get().splitlines()) + "\n"


def _row(seed: SeedResult) -> Sequence[str]:
    style = _STYLE.get(seed.state)
    state = f"[{style}]{seed.state}[/{style}]" if style else str(seed.state)
    train_s = (seed.seconds or {}).get(Phase.TRAIN.value)
    return (
        str(seed.seed),
        state,
        decimals(seed.steps, 0),
        decimals(seed.val_bpb.trained, 5),
        decimals(seed.val_bpb.roundtrip, 5),
        decimals(seed.val_bpb.sliding, 5),
        decimals(seed.total_bytes, 0),
        decimals(seed.slack_bytes, 0),
        decimals(train_s, 1),
    )


def decimals(value: float | None, places: int) -> str:
    """A number for a table; "-" where it is absent or not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.{places}f}"


def _legend(result: SweepResult) -> str | None:
    """One line for every seed that did not succeed and says why."""
    lines = [
        f"seed {s.seed} attempt {s.attempt} {s.state}: {' '.join(s.error.split())}"
        for s in result.seeds
        if s.error and s.state is not State.SUCCEEDED
    ]
    return escape("\n".join(lines)) or None
