"""Ray and the sweep service on this machine, in the foreground: `recur up [--port 8800] [--out DIR] [--dashboard URL]`.

Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 Ray did not come up; 2 bad input; else that of a service that never came up. All that
was started ends with it. Thin: the work is in `cluster.supervisor` and `cluster.head`.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster.head import Head, check_port, plan_head
from cluster.own_ray import kept_ray, sole_up
from cluster.supervisor import ServiceCommand, Stop, Supervisor
from jobs.errors import run_app
from jobs.places import Places
from jobs.setting_up import first_key, service_environment, settings_of

ROOT = Path(__file__).resolve().parent.parent
app = typer.Typer(add_completion=False)


def up(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Of the service; 0 for a free one; default 8800.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default ~/recur-results.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings, see docs/operations.md.")] = None,
    dashboard: Annotated[
        str | None, typer.Option("--dashboard", "--address", help="Use the Ray whose dashboard this is: http://host:8265.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Start a Ray head on the loopback with a token, the service, and a first key; end all of it on Ctrl-C."""
    settings = settings_of(config, port=port, out=out, dashboard=dashboard)
    check_port(settings.host, settings.port)
    stop = Stop()
    with ExitStack() as held:
        held.enter_context(sole_up(settings.folder))
        held.enter_context(stop.watching())
        key = first_key(settings)
        plan = plan_head(ROOT, os.environ) if dashboard is None else None
        token = None
        if plan is not None:
            settings = settings.model_copy(update={"ray_dashboard": plan.dashboard})
            token = held.enter_context(kept_ray(settings.folder, plan.dashboard, plan.authentication.token))
        places = Places(settings=settings, plan=plan, token_file=token, key=key)
        line = [sys.executable, "-m", "api", *(["--config", str(config.expanduser().resolve())] if config else [])]
        environment = service_environment(settings, plan)
        service = ServiceCommand(command=line, environment=environment, root=ROOT, url=places.url)
        supervisor = Supervisor(Head(plan) if plan else None, service, lambda text: typer.echo(text, err=True))
        raise typer.Exit(supervisor.run(stop, lambda: typer.echo(places.as_json() if as_json else places.as_text())))


app.command()(up)

if __name__ == "__main__":
    run_app(app)
