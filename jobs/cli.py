"""The one parser: `recur record|sweep|up|...` are the scripts in jobs/, each loaded only when it is asked for.

Loading all of them takes seconds (torch, Ray, scipy); `recur sweep list` needs none of that.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from jobs.errors import run_app

COMMANDS = {
    "up": "Start Ray and the sweep service on this machine, with a first key.",
    "sweep": "Submit sweeps to the service and follow them.",
    "doctor": "Say what works and how to mend what does not.",
    "adopt": "Bring a run of `ray job submit` into the service's table.",
    "backup": "Copy the service's database while it runs.",
    "record": "Run a recipe for several seeds, one Ray job a seed, and report bits per byte and bytes.",
    "seed": "Train, quantize, fit, evaluate and verify one seed.",
    "evaluate": "Score an artifact again; with --refit make it again from its training.",
    "compare": "Compare two sweeps or published lines.",
    "bundle": "Write the script that trains, quantizes and evaluates a recipe on its own.",
    "folder": "Write the record folder of a finished sweep.",
    "check": "Report what a submission folder lacks and what its own logs contradict.",
    "data": "Make, fetch or check a dataset.",
}
"""Script in jobs/ and what it does."""

app = typer.Typer(
    help="Multi-seed depth-recurrence training of small language models on Ray.",
    no_args_is_help=True,
    add_completion=False,
)


def _add(name: str, says: str) -> None:
    """A command that hands its words on to the script of that name."""

    @app.command(
        name, help=says, add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )
    def run(context: typer.Context) -> None:
        import_module(f"jobs.{name}").app(context.args, prog_name=f"recur {name}")


for _name, _says in COMMANDS.items():
    _add(_name, _says)


@app.command()
def profiles(
    show: Annotated[str | None, typer.Option(help="Print this profile, complete, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the names as JSON.")] = False,
) -> None:
    """List the shipped profiles, or print one with all its keys."""
    import json

    from recur.recipe import load_recipe, profile_names, recipe_to_json

    if show is not None:
        typer.echo(recipe_to_json(load_recipe(show)))
    else:
        names = profile_names()
        typer.echo(json.dumps(list(names)) if as_json else "\n".join(names))


def main() -> None:
    """Entry point of the `recur` command."""
    run_app(app)


if __name__ == "__main__":
    main()
