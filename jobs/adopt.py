"""Bring a run that was started without the service into its table: `recur adopt SUBMISSION_ID | FOLDER [--wait] [--json]`.

Writes into the service's database, so it runs where that is. Exit codes: 0 adopted; 1 Ray or the database does not answer; 2
bad input. Thin: the work is in `api.service.adopting` and `cluster.submission`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.service.adopting import DriverLives, Run, adopt_run
from api.settings import Settings, load_settings
from api.store import open_store
from cluster.diagnose import get, ray_token
from cluster.own_ray import known_dashboard, token_path
from cluster.submission import find_run
from jobs.errors import run_app

app = typer.Typer(add_completion=False)
POLL_S = 2.0


def adopt(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id that `ray job submit` printed, or the folder of a run.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until its driver has begun the last seed, or has ended.")] = False,
    dashboard: Annotated[str | None, typer.Option("--dashboard", "--address", help="Ray's dashboard: http://host:8265.")] = None,
    out: Annotated[Path | None, typer.Option(help="The service's folder of results; default: its setting.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the service's settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a run a sweep of the service: finished seeds keep their numbers, running ones are watched, others are queued."""
    if out is not None:
        os.environ["RECUR_API_OUT"] = str(out.expanduser().resolve())
    settings = load_settings(config)
    store = open_store(settings.database)
    try:
        while True:
            try:
                row = adopt_run(store, settings.folder, find(run, settings, dashboard), ageing_s=settings.ageing_s)
                break
            except DriverLives:
                if not wait:
                    raise
                time.sleep(POLL_S)
    finally:
        store.close()
    done = {"sweep": row.sweep, "seeds": list(row.seeds), "profile": row.profile}
    typer.echo(json.dumps(done) if as_json else f"adopted {row.sweep}: follow it with `recur sweep watch {row.sweep}`")


def find(run: str, settings: Settings, dashboard: str | None) -> Run:
    """The run that the user means; Ray is asked only for a submission id."""
    if "/" in run or Path(run).is_dir():
        return Run(root=Path(run))
    ray = (dashboard or known_dashboard(settings.folder) or settings.ray_dashboard).rstrip("/")
    token = ray_token(os.environ, token_path(settings.folder))
    found = find_run(run, lambda path: get(f"{ray}{path}", token), lambda job: _log(ray, job, token))
    return Run(root=found.root, submission=run, driver_lives=found.driver_lives)


def _log(ray: str, job: str, token: str | None) -> str:
    """The job's log, whose first lines name its folder; Ray's client would load for two seconds."""
    answer = get(f"{ray}/api/jobs/{job}/logs", token)
    return str(json.loads(answer.text).get("logs", "")) if answer.status == 200 else ""


app.command()(adopt)

if __name__ == "__main__":
    run_app(app)
