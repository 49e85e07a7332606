"""What `recur sweep` prints: a submission's checks, a page, a sweep, and a sweep while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live

from api.client import Client, exit_code, watch
from api.client.tables import page_table, sweep_table
from api.models import Sweep, SweepPage, SweepSubmission
from jobs.options import emit
from recur.errors import InputError


def submission(profile: str, seeds: Sequence[int], overrides: Mapping[str, Any], about: Mapping[str, Any]) -> SweepSubmission:
    """The request body.

    Raises:
        InputError: a value that no service takes.
    """
    given = {"profile": profile, "seeds": list(seeds), "overrides": dict(overrides), **about}
    try:
        return SweepSubmission.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        remedy = "see `recur sweep submit --help`"
        raise InputError(f"{where}={first['input']!r}"[:200], f"is refused: {first['msg'].lower()}", remedy) from error


def show(sweep: Sweep, *, as_json: bool) -> None:
    """One sweep."""
    emit(sweep.model_dump(mode="json"), sweep_table(sweep), as_json=as_json)


def show_page(page: SweepPage, *, as_json: bool) -> None:
    """A page of the list."""
    emit(page.model_dump(mode="json"), page_table(page), as_json=as_json)


def follow(client: Client, sweep: str, *, as_json: bool) -> int:
    """Follow a sweep to its end: a live table in a terminal, a line for each change of state elsewhere; at last all of it.

    With JSON: one object a change (``sweep``, ``state``, ``seeds``), and at last the whole sweep, each on one line.

    Returns:
        The exit code.
    """
    console = Console()
    if console.is_terminal and not as_json:
        with Live(console=console, refresh_per_second=4) as live:
            return exit_code(watch(client, sweep, lambda now: live.update(sweep_table(now))))
    said: set[str] = set()

    def say(now: Sweep) -> None:
        line = _changed(now, as_json=as_json)
        if line not in said:
            said.add(line)
            typer.echo(line)

    ended = watch(client, sweep, say)
    if as_json:
        typer.echo(ended.model_dump_json())
    else:
        console.print(sweep_table(ended))
    return exit_code(ended)


def _changed(sweep: Sweep, *, as_json: bool) -> str:
    seeds = {str(seed.seed): " ".join(filter(None, (seed.state, seed.phase))) for seed in sweep.seeds}
    if as_json:
        return json.dumps({"sweep": sweep.id, "state": sweep.state, "seeds": seeds})
    return f"{sweep.id} {sweep.state}: " + ", ".join(f"{seed} {state}" for seed, state in seeds.items())
