"""The code as one file: `python jobs/bundle.py [--profile recur] [--set a.b=v] [--out train_gpt.py] [--plain]`.

Thin: the work is in `recur.record.bundle`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from recur.errors import StorageError
from recur.recipe import load_recipe

app = typer.Typer(add_completion=False)


def bundle(
    profile: Annotated[str, typer.Option(help="A shipped profile or a .toml file.")] = "recur",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override of the recipe, section.key=value.")] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("train_gpt.py"),
    plain: Annotated[bool, typer.Option("--plain", help="Write the readable form of the same program.")] = False,
) -> None:
    """Write the script that trains, quantizes and evaluates a recipe on its own, and print its size."""
    from recur.record.bundle import bundle as made  # the generator's parser, which no other command needs

    script = made(load_recipe(profile, set_ or []))
    try:
        out.write_bytes(script.plain.encode() if plain else script.source)
    except OSError as error:
        raise StorageError(str(out), f"cannot be written ({error.strerror})", "choose another --out") from error
    typer.echo(f"{out}: {out.stat().st_size:,} bytes{' (readable)' if plain else ''}; code_bytes={len(script.source)}")


app.command()(bundle)

if __name__ == "__main__":
    run_app(app)
