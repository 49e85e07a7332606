"""Bring a run that was started without the service into its table: `recur adopt SUBMISSION_ID | FOLDER [--wait] [--json]`.

Writes into the service's database, so it runs where that is. Exit codes: 0 adopted; 1 Ray or the database does not answer; 2
bad input. Thin: the work is in `api.service.adopting` and `cluster.submission`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app

app = typer.Typer(add_completion=False)


def adopt(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id that `ray job submit` printed, or the folder of a run.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until its driver has begun the last seed, or has ended.")] = False,
    dashboard: Annotated[str | None, typer.Option("--dashboard", "--address", help="Ray's dashboard: http://host:8265.")] = None,
    out: Annotated[Path | None, typer.Option(help="The service's folder of results; default: its setting.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the service's settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a run a sweep of the service: finished seeds keep their numbers, running ones are watched, others are queued."""
    from jobs.adopting import adopt_now  # database and service load in two seconds

    if out is not None:
        os.environ["RECUR_API_OUT"] = str(out.expanduser().resolve())
    row = adopt_now(run, config=config, dashboard=dashboard, wait=wait)
    done = {"sweep": row.sweep, "seeds": list(row.seeds), "profile": row.profile}
    typer.echo(json.dumps(done) if as_json else f"adopted {row.sweep}: follow it with `recur sweep watch {row.sweep}`")


app.command()(adopt)

if __name__ == "__main__":
    run_app(app)
