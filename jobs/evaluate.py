"""Score an artifact again: `python jobs/evaluate.py ARTIFACT [--mode sliding] [--context N] [--set a.b=v] [--json]`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from recur.evaluate.bpb import Score
from recur.evaluate.rescore import read_provenance, rescore
from recur.recipe import override

app = typer.Typer(add_completion=False)


def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Artifact file inside its attempt folder results/<sweep>/seed_<n>/a<k>/.")],
    mode: Annotated[list[str] | None, typer.Option(help="Evaluation mode, may be repeated; default: the recipe's.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Window length in tokens instead of the recipe's.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override of the recipe, section.key=value.")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset folder; default: the one the run was trained on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score an artifact: loss in nats per token and bits per byte of the validation text."""
    made_from = read_provenance(artifact)
    recipe = override(made_from.recipe, set_ or [])
    source = replace(made_from, recipe=recipe, dataset_root=data or made_from.dataset_root)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    modes = tuple(dict.fromkeys(mode or recipe.evaluate.modes))
    scores = rescore(artifact, source, modes=modes, context_tokens=context, device=device)
    context_tokens = context or recipe.evaluate.seq_len
    _print_json(artifact, context_tokens, scores) if as_json else _print_table(artifact, context_tokens, scores)


def _print_json(artifact: Path, context_tokens: int, scores: dict[str, Score]) -> None:
    rows = {
        name: {"val_loss": s.val_loss, "val_bpb": s.val_bpb, "nats": s.nats, "tokens": s.tokens, "bytes": s.bytes}
        for name, s in scores.items()
    }
    typer.echo(json.dumps({"artifact": str(artifact), "context_tokens": context_tokens, "modes": rows}, indent=2))


def _print_table(artifact: Path, context_tokens: int, scores: dict[str, Score]) -> None:
    table = Table(title=f"{artifact} · context {context_tokens} tokens")
    for column in ("mode", "val_bpb", "val_loss", "tokens", "bytes"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    for name, s in scores.items():
        table.add_row(name, f"{s.val_bpb:.6f}", f"{s.val_loss:.6f}", f"{s.tokens:,}", f"{s.bytes:,}")
    Console().print(table)


app.command()(evaluate)

if __name__ == "__main__":
    run_app(app)
