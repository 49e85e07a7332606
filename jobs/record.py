"""Train, quantize, fit and evaluate several seeds on Ray: `python jobs/record.py [--profile NAME] [--seeds 42,1337,2024]`.

Thin: the work is in `cluster.driver`. Also runs as `ray job submit --working-dir . -- python jobs/record.py`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster.driver import run_record
from cluster.request import AUTO, Order
from jobs.errors import run_app
from jobs.options import parse_baseline, parse_seeds
from recur.record.folder import UNNAMED, About

ROOT = Path(__file__).resolve().parent.parent
app = typer.Typer(add_completion=False)


def record(
    profile: Annotated[str, typer.Option(help="auto, a shipped profile, or a .toml file.")] = AUTO,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. train.steps=50; may be repeated.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated; default 42,1337,2024.")] = None,
    docs: Annotated[list[str] | None, typer.Option(help="JSONL, JSONL.gz or TXT files, or quoted globs.")] = None,
    data: Annotated[Path | None, typer.Option(help="A prepared dataset folder.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="SentencePiece model to reuse with --docs.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; default ~/recur-results.")] = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running Ray head; default: start a local Ray.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this interrupted sweep.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Name of the sweep; default: profile and time.")] = None,
    beside: Annotated[str | None, typer.Option(help="Then run this profile too and compare: auto, NAME or FILE.toml.")] = None,
    checkpoints: Annotated[str | None, typer.Option(help="Research mode: folder or s3://BUCKET/PREFIX for checkpoints.")] = None,
    author: Annotated[str, typer.Option(help="Who submits, for the record folder.")] = UNNAMED,
    github: Annotated[str, typer.Option(help="Account of who submits.")] = UNNAMED,
    name: Annotated[str, typer.Option(help="Short name of the submission; default: its profile.")] = "",
    baseline: Annotated[str | None, typer.Option(help="Published line that the score is held against, e.g. 1334.")] = None,
) -> None:
    """Run a recipe for several seeds, one Ray job a seed, and report bits per byte and bytes."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    order = Order(
        profile=profile,
        overrides=tuple(set_ or ()),
        seeds=parse_seeds(seeds),
        docs=tuple(docs or ()),
        data=data,
        tokenizer=tokenizer,
        out=out,
        address=address,
        resume=resume,
        sweep=sweep,
        beside=beside,
        checkpoints=checkpoints,
        about=About(author=author, github_id=github, name=name, baseline_pr=parse_baseline(baseline)),
    )
    raise typer.Exit(run_record(order, ROOT))


app.command()(record)

if __name__ == "__main__":
    run_app(app)
