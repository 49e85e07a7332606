"""Write the record folder of a finished sweep, again or under another name: `python jobs/folder.py SWEEP [--name TEXT]`.

Thin: the work is in `recur.record.folder`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from jobs.options import parse_baseline
from recur.record.folder import UNNAMED, About

app = typer.Typer(add_completion=False)


def folder(
    sweep: Annotated[Path, typer.Argument(help="Folder of a finished sweep, <out>/<sweep>.")],
    author: Annotated[str, typer.Option(help="Who submits.")] = UNNAMED,
    github: Annotated[str, typer.Option(help="Account of who submits.")] = UNNAMED,
    name: Annotated[str, typer.Option(help="Short name of the submission; default: its profile.")] = "",
    baseline: Annotated[str | None, typer.Option(help="Published line that the score is held against, e.g. 1334.")] = None,
    date: Annotated[str, typer.Option(help="YYYY-MM-DD; default: the day on which the last seed ended.")] = "",
) -> None:
    """Write README.md, submission.json, the script, logs and gates of a sweep; every number comes from its files."""
    from recur.record.folder.publish import publish  # the script's generator, which nothing else here needs

    about = About(author=author, github_id=github, name=name, baseline_pr=parse_baseline(baseline), date=date).check()
    typer.echo(f"record folder: {publish(sweep.expanduser().resolve(), about)}")


app.command()(folder)

if __name__ == "__main__":
    run_app(app)
