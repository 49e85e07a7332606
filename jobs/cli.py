"""The one parser: `recur record|seed|data|evaluate|...` are the functions of the scripts in jobs/."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs import bundle, check, compare, data, evaluate, folder, record, seed
from jobs.errors import run_app
from recur.recipe import load_recipe, profile_names, recipe_to_json

app = typer.Typer(
    help="Multi-seed depth-recurrence training of small language models on Ray.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(record.record)
app.command()(seed.seed)
app.command()(evaluate.evaluate)
app.command()(bundle.bundle)
app.command()(folder.folder)
app.command()(check.check)
app.command()(compare.compare)
app.add_typer(data.app, name="data")


@app.command()
def profiles(show: Annotated[str | None, typer.Option(help="Print this profile, complete, as JSON.")] = None) -> None:
    """List the shipped profiles, or print one with all its keys."""
    if show is None:
        typer.echo("\n".join(profile_names()))
    else:
        typer.echo(recipe_to_json(load_recipe(show)))


def main() -> None:
    """Entry point of the `recur` command."""
    run_app(app)


if __name__ == "__main__":
    main()
