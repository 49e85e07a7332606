"""Sweeps as tables for the terminal. Everything that comes from the service is text, never markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from api.models import SeedView, Statistics, Sweep, SweepPage
from recur.record.result import State

_COLOURS = {
    State.SUCCEEDED: "green",
    State.INVALID: "yellow",
    State.CANCELLED: "yellow",
    State.CANCELLING: "yellow",
    State.FAILED: "red",
    State.LOST: "red",
    State.TIMED_OUT: "red",
    State.RUNNING: "cyan",
}


def page_table(page: SweepPage) -> RenderableType:
    """The list: one row a sweep; of its seeds, how many SUCCEEDED."""
    table = _table(("sweep", "state"), ("seeds", "val_bpb", "max bytes", "prio", "submitted"))
    for line in page.sweeps:
        at = line.created_at.strftime("%m-%d %H:%M")
        numbers = (_number(line.mean_val_bpb, ".5f"), _number(line.max_total_bytes, ",d"), str(line.priority), at)
        table.add_row(line.id, _state(line.state), f"{line.n}/{line.seeds}", *numbers)
    if page.next is None:
        return table
    return Group(table, f"more: --cursor {page.next}")


def sweep_table(sweep: Sweep) -> RenderableType:
    """One sweep: a row a seed, the mean, and what a reader must know."""
    table = _table(("seed", "state", "phase"), ("steps", "round-trip", "sliding", "bytes", "slack", "train s"))
    table.title = escape(f"sweep {sweep.id} · {sweep.name} · profile {sweep.profile} · {sweep.state}")
    for seed in sweep.seeds:
        table.add_row(str(seed.seed), _state(seed.state), escape(_phase(seed)), _steps(seed), *_numbers(seed))
    if sweep.statistics.mean_val_bpb is not None:
        table.add_section()
        for row in _summary(sweep.statistics):
            table.add_row(*row)
    lines = [escape(line) for line in _lines(sweep)]
    return Group(table, *lines) if lines else table


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=name in ("state", "sweep", "seed"))
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _lines(sweep: Sweep) -> list[str]:
    """Why seeds wait, what went wrong, the verdict."""
    found = []
    for seed in sweep.seeds:
        if seed.waiting is not None and seed.state == State.QUEUED:
            found.append(f"seed {seed.seed} waits, place {seed.waiting.place}: {seed.waiting.why}")
        if seed.reason and seed.state != State.SUCCEEDED:
            found.append(f"seed {seed.seed}: {seed.reason}")
        if seed.warning:
            found.append(f"warning: seed {seed.seed}: {seed.warning}")
    found += [f"note: {sweep.note}"] if sweep.note else []
    found += [f"warning: {sweep.warning}"] if sweep.warning else []
    found += [sweep.statistics.verdict] if sweep.statistics.verdict else []
    return found


def _phase(seed: SeedView) -> str:
    phase = "" if State(seed.state).terminal else seed.phase or ""
    return f"{phase} (attempt {seed.attempt})".strip() if seed.attempt > 1 else phase


def _steps(seed: SeedView) -> str:
    if seed.steps is not None:
        return str(seed.steps)
    if seed.progress is None or seed.progress.step is None:
        return ""
    return f"{seed.progress.step}/{seed.progress.steps}" if seed.progress.steps else str(seed.progress.step)


def _numbers(seed: SeedView) -> tuple[str, ...]:
    bpb = seed.val_bpb
    scores = [_number(value, ".5f") for value in (bpb.roundtrip, bpb.sliding)]
    return (*scores, _number(seed.total_bytes, ",d"), _number(seed.slack_bytes, ",d"), _number(seed.train_s, ".1f"))


def _summary(found: Statistics) -> list[tuple[str, ...]]:
    """Mean, and standard deviation where there is one."""
    mean = _number(found.mean_val_bpb, ".5f")
    rows: list[tuple[str, ...]] = [("mean", f"n={found.n}", "", "", "", mean, _number(found.mean_total_bytes, ",.0f"))]
    if found.sd_val_bpb is not None:
        rows.append(("sd", "", "", "", "", f"±{found.sd_val_bpb:.5f}"))
    return rows


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _state(state: str) -> str:
    colour = _COLOURS.get(State(state))
    return f"[{colour}]{state}[/]" if colour else state
