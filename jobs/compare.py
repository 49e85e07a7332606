"""Compare two sweeps, or a sweep and a published line: `python jobs/compare.py A B [--json] [--plot FILE.png] [--out DIR]`.

A and B are a sweep's folder, its sweep.json, the name of a sweep below the output folder, or a known line such as `#1334`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from recur.record.compare import compare as compare_arms
from recur.record.compare import comparison_fields, side_of
from recur.record.compare_table import compare_table
from recur.record.plots.compare import write_compare_plot

DEFAULT_OUT = Path("~/recur-results")
app = typer.Typer(add_completion=False)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Folder or name of a sweep, its sweep.json, or a known line: #1334.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same; differences are A minus B.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture of both to this PNG file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder with the sweeps; default ~/recur-results.")] = None,
) -> None:
    """Compare two sweeps or published lines: difference, Welch's test, interval, bytes, and how their recipes differ."""
    folder = (out or DEFAULT_OUT).expanduser()
    a, b = side_of(first, folder), side_of(second, folder)
    found = compare_arms(a.arm, b.arm, (a.recipe, b.recipe))
    if as_json:
        typer.echo(json.dumps(comparison_fields(found), indent=2))
    else:
        Console().print(compare_table(found))
        typer.echo(found.verdict.sentence)
    if plot is not None:
        write_compare_plot(plot, found)


app.command()(compare)

if __name__ == "__main__":
    run_app(app)
