"""Prepare a sweep that the service has taken in: `python jobs/prepare.py --request OUT/SWEEP/request.json`.

Thin: the work is in `cluster.preparing`. A process of its own, because the service itself loads neither torch nor data.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster.preparing import prepare_request
from jobs.errors import run_app

app = typer.Typer(add_completion=False)


def prepare(
    request: Annotated[Path, typer.Option(help="A request.json in the sweep's folder.")],
) -> None:
    """Make the dataset, measure the program's bytes and write sweep_spec.json."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    typer.echo(prepare_request(request))


app.command()(prepare)

if __name__ == "__main__":
    run_app(app)
