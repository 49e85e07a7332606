"""What works and how to mend what does not: `recur doctor [--dashboard URL] [--out DIR] [--url URL] [--json]`.

Exit codes: 0 nothing is broken (notes are allowed); 1 something is; 2 bad input. Thin: the work is in `cluster.diagnose`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import diagnose
from cluster.diagnose import Finding, Level
from cluster.own_ray import known_dashboard, token_path
from jobs.errors import EXIT_FAILED, run_app
from jobs.options import AsJson, Url, emit, open_client
from recur.errors import RecurError

app = typer.Typer(add_completion=False)
_COLOURS = {Level.OK: "green", Level.NOTE: "yellow", Level.BAD: "red"}


def doctor(
    dashboard: Annotated[str | None, typer.Option("--dashboard", "--address", help="Ray's dashboard: http://host:8265.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default: the service's setting.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the service's settings.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Look at Ray, its token, GPUs, disk, data, versions and the service; say for each that it is right, or the cure."""
    from api.settings import load_settings

    settings = load_settings(config)
    folder = (out or settings.out).expanduser().resolve()
    ray = (dashboard or known_dashboard(folder) or settings.ray_dashboard).rstrip("/")
    token = diagnose.ray_token(os.environ, token_path(folder))
    found = [*diagnose.check_versions(), *diagnose.check_home(Path.home()), *diagnose.check_ray(ray, token)]
    if not any(finding.level is Level.BAD and finding.name == "Ray" for finding in found):
        found.append(diagnose.check_nodes(ray, token))
    found += [diagnose.check_disk(folder), *diagnose.check_data(folder), *check_service(url)]
    broken = any(finding.level is Level.BAD for finding in found)
    table = Table("what", "", "seen", "what to do")
    for one in found:
        table.add_row(one.name, f"[{_COLOURS[one.level]}]{one.level}[/]", escape(one.seen), escape(one.fix))
    emit({"ok": not broken, "findings": [asdict(finding) for finding in found]}, table, as_json=as_json)
    raise typer.Exit(EXIT_FAILED if broken else 0)


def check_service(url: str | None) -> list[Finding]:
    """Whether the service answers, is ready, and takes our key."""
    with open_client(url) as client:
        try:
            state = client.ready()
            client.sweeps(limit=1)
        except RecurError as error:
            seen, _, fix = str(error).partition("; ")
            return [Finding(name="service", level=Level.BAD, seen=seen, fix=fix or "look at the service's log")]
    seen = f"{client.url} is {state.get('status')}"
    if state.get("status") == "ready":
        return [Finding(name="service", level=Level.OK, seen=seen)]
    said = ", ".join(f"{name}: {value}" for name, value in state.items() if name != "status" and value)
    level = Level.NOTE if state.get("status") == "degraded" else Level.BAD
    return [Finding(name="service", level=level, seen=f"{seen} ({said})", fix="see docs/operations.md, Troubleshooting")]


app.command()(doctor)

if __name__ == "__main__":
    run_app(app)
