"""Copy the service's SQLite database while the service runs: `recur backup FILE [--config FILE] [--json]`.

Exit codes: 0 copied; 1 the copy could not be written; 2 bad input. For PostgreSQL use pg_dump.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app

app = typer.Typer(add_completion=False)


def backup(
    file: Annotated[Path, typer.Argument(help="The copy; must not exist yet.")],
    out: Annotated[Path | None, typer.Option(help="The service's folder of results; default: its setting.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the service's settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a consistent copy of the database; the folders of the sweeps are copied by any tool."""
    from api.settings import load_settings
    from api.store import backup as copy
    from api.store import check_there, open_store

    if out is not None:
        os.environ["RECUR_API_OUT"] = str(out.expanduser().resolve())
    database = load_settings(config).database
    check_there(database)
    store = open_store(database)
    try:
        copy(store, file.expanduser().resolve())
    finally:
        store.close()
    size = file.expanduser().stat().st_size
    typer.echo(json.dumps({"file": str(file), "bytes": size}) if as_json else f"{file}: {size:,} bytes")


app.command()(backup)

if __name__ == "__main__":
    run_app(app)
