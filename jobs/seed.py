"""One seed: `python jobs/seed.py [--profile smoke] [--seed 42]` in this process without Ray; `--spec FILE` as a sweep's Ray job.

Thin: the work is in `cluster.seed_job` and `cluster.alone`; each loads only what it needs, so that a sweep's
job starts seconds earlier.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app

app = typer.Typer(add_completion=False)


def seed(
    profile: Annotated[str, typer.Option(help="A shipped profile or a .toml file.")] = "smoke",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. train.steps=50; may be repeated.")] = None,
    number: Annotated[int, typer.Option("--seed", min=0, help="The seed.")] = 42,
    docs: Annotated[list[str] | None, typer.Option(help="JSONL, JSONL.gz or TXT files, or quoted globs.")] = None,
    data: Annotated[Path | None, typer.Option(help="A prepared dataset folder.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="SentencePiece model to reuse with --docs.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; default ~/recur-results.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Name of the sweep; default: profile and time.")] = None,
    spec: Annotated[Path | None, typer.Option(help="Run this attempt inside a Ray job; everything else is in the file.")] = None,
) -> None:
    """Train, quantize, fit, evaluate and verify one seed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if spec is not None:
        from cluster.seed_job import run_spec

        raise typer.Exit(run_spec(spec))
    from cluster.alone import run_alone
    from cluster.request import Order, alone

    console = Console()
    order = Order(
        profile=profile,
        overrides=tuple(set_ or ()),
        seeds=(number,),
        docs=tuple(docs or ()),
        data=data,
        tokenizer=tokenizer,
        out=out,
        sweep=sweep,
    )
    single = alone(order, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
    raise typer.Exit(run_alone(single.spec, single.dataset_sha256, console))


app.command()(seed)

if __name__ == "__main__":
    run_app(app)
