"""Write the report of a sweep whose seeds have ended, for the service: `python jobs/report.py OUT/SWEEP`.

Thin: the work is in `cluster.reporting`. A process of its own, because the service loads neither pandas nor matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster.reporting import report_outcome
from jobs.errors import run_app

app = typer.Typer(add_completion=False)


def report(
    sweep: Annotated[Path, typer.Argument(help="Folder of the sweep, <out>/<sweep>, with its outcome.json.")],
) -> None:
    """Write sweep.json, results.csv, plots and, where it can be published, the record folder."""
    done = report_outcome(sweep.expanduser().resolve())
    typer.echo(f"record folder: {done.folder}" if done.folder else done.why_not or "no record folder: not every seed has numbers")


app.command()(report)

if __name__ == "__main__":
    run_app(app)
