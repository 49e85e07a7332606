"""Submit a sweep to the service: `recur sweep submit [PROFILE] [--seeds 42,1337] [--set a.b=v] [--watch]`.

Exit codes: as of jobs/sweep.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs import following
from jobs.errors import run_app
from jobs.options import DEFAULT_SEEDS, AsJson, Overrides, Url, open_client, parse_overrides, parse_seeds

app = typer.Typer(add_completion=False)
Baseline = Annotated[str | None, typer.Option(help="A known line (#1334) or another sweep's id, to be compared with.")]
Priority = Annotated[int, typer.Option(min=-100, max=100, help="Higher goes first; waiting outweighs it in time.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key and sweep twice make one sweep.")]


def submit(
    profile: Annotated[str, typer.Argument(help="A shipped profile.")] = "smoke_recur",
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = DEFAULT_SEEDS,
    set_: Overrides = None,
    name: Annotated[str | None, typer.Option(help="For people; default: the profile.")] = None,
    priority: Priority = 0,
    baseline: Baseline = None,
    watch: Annotated[bool, typer.Option("--watch", help="Then follow it to its end.")] = False,
    idempotency_key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a recipe for several seeds."""
    about = {"name": name, "priority": priority, "baseline": baseline}
    wanted = following.submission(profile, parse_seeds(seeds) or (), parse_overrides(set_ or []), about)
    with open_client(url) as client:
        done = client.submit(wanted, idempotency_key=idempotency_key)
        if watch:
            raise typer.Exit(following.follow(client, done.sweep.id, as_json=as_json))
        following.show(done.sweep, as_json=as_json)


app.command()(submit)

if __name__ == "__main__":
    run_app(app)
