"""Check a submission folder, ours or anyone's: `python jobs/check.py FOLDER [--json] [--smoke] [--run-script]`.

Exit code 0: no error (warnings and notes are allowed); 1: at least one error; 2: FOLDER is no folder.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from recur.record.check import Level, Report, check_submission, report
from recur.record.check.run_script import run_script, smoke
from recur.record.check.sandbox import Limits
from recur.record.check.submission import read_submission
from recur.record.codec import to_json

app = typer.Typer(add_completion=False)
_COLOURS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: "dim"}


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of one submission: README.md, submission.json, script, logs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    run: Annotated[bool, typer.Option("--run-script", help="Run its script without a network; it can read your files.")] = False,
    script_args: Annotated[str, typer.Option(help="With --run-script: arguments of the script.")] = "",
    with_smoke: Annotated[bool, typer.Option("--smoke", help="Print import time, sizes and code bytes; imports it.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each run of the script.")] = 60.0,
) -> None:
    """Report what a submission folder lacks and what its own logs contradict. Runs nothing of it unless asked."""
    sub = read_submission(folder)
    found, limits = list(check_submission(sub)), Limits(timeout_s=timeout)
    if run:
        found += run_script(sub, limits, shlex.split(script_args))
    figures = None
    if with_smoke:
        measured = smoke(sub, limits)
        figures, found = measured.figures, [*found, *measured.findings]
    result = report(str(folder), found, figures)
    if as_json:
        typer.echo(json.dumps(to_json(result) | {"exit_code": result.exit_code}, indent=2))
    else:
        _show(result)
    raise typer.Exit(result.exit_code)


def _show(result: Report) -> None:
    console = Console()
    table = Table(title=f"recur check {_literal(result.folder)}")
    for head in ("level", "where", "finding", "remedy"):
        table.add_column(head, overflow="fold")
    for f in result.findings:
        table.add_row(f"[{_COLOURS[f.level]}]{f.level}[/]", *(_literal(text) for text in (f.where, f.message, f.remedy)))
    if result.findings:
        console.print(table)
    counts = ", ".join(f"{result.count(level)} {level}s" for level in Level)
    console.print(counts if result.findings else "nothing found")
    for name, value in (result.smoke or {}).items():
        console.print(f"{name}: {value}", markup=False)


def _literal(text: str) -> str:
    """Text of an untrusted folder is never markup."""
    return text.replace("[", "\\[")


app.command()(check)

if __name__ == "__main__":
    run_app(app)
