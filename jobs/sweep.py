"""Sweeps of the service: `recur sweep submit|list|show|watch|cancel|retry`, or `python jobs/sweep.py ...`.

Exit codes: 0 done (watch: every seed SUCCEEDED); 1 failed (watch: a seed did not succeed; the service does not answer); 2 the
input is refused; 130 interrupted (the sweep goes on).
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
from jobs.options import AsJson, Url, open_client, parse_seeds
from jobs.submit import submit

app = typer.Typer(help="Submit sweeps to the service and follow them.", no_args_is_help=True, add_completion=False)
SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="Id of a sweep.")]


app.command()(submit)


@app.command(name="list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most that many.")] = 20,
    state: Annotated[str | None, typer.Option(help="Only those in this state, e.g. RUNNING.")] = None,
    sort: Annotated[str | None, typer.Option(help="created_at, -created_at (default), name or -name.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List sweeps, newest first."""
    with open_client(url) as client:
        following.show_page(client.sweeps(limit=limit, status=state, sort=sort, cursor=cursor), as_json=as_json)


@app.command()
def show(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Show a sweep: its seeds, why they wait, mean and verdict."""
    with open_client(url) as client:
        following.show(client.sweep(sweep), as_json=as_json)


@app.command()
def watch(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a sweep until every seed has ended; exit code 0 when all SUCCEEDED."""
    with open_client(url) as client:
        raise typer.Exit(following.follow(client, sweep, as_json=as_json))


@app.command()
def cancel(sweep: SweepId, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel what has not ended; running jobs are told to stop."""
    with open_client(url) as client:
        following.show(client.cancel(sweep), as_json=as_json)


@app.command()
def retry(
    sweep: SweepId,
    seeds: Annotated[str | None, typer.Option(help="Which; default: all that ended without success.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run seeds again, each as a whole new attempt."""
    with open_client(url) as client:
        following.show(client.retry(sweep, parse_seeds(seeds)), as_json=as_json)


if __name__ == "__main__":
    run_app(app)
