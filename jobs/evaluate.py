"""Score an artifact again, or quantize, fit and evaluate its training again with other settings (`--refit`).

`python jobs/evaluate.py ARTIFACT [--mode sliding] [--context N] [--set a.b=v] [--json]`
`python jobs/evaluate.py ARTIFACT --refit [--set quantize.slope_exponent=1] [--recalibrate 4] [--ray] [--json]`
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from jobs.refit import RefitOrder, check_options, run_refit
from recur.evaluate.rescore import read_provenance, rescore
from recur.pipeline.backend import default_device
from recur.recipe import override
from recur.record.score_table import score_fields, score_table

app = typer.Typer(add_completion=False)


def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Artifact in its attempt folder results/<sweep>/seed_<n>/a<k>/ (or that).")],
    mode: Annotated[list[str] | None, typer.Option(help="Evaluation mode, may be repeated; default: the recipe's.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Window length in tokens instead of the recipe's.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override of the recipe, section.key=value.")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset folder; default: the one the run was trained on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    refit: Annotated[bool, typer.Option("--refit", help="Quantize, fit and evaluate the training again.")] = False,
    recalibrate: Annotated[int | None, typer.Option(min=1, help="With --refit: calibrate again, as N items.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --refit: output folder; default: the attempt's.")] = None,
    sweep: Annotated[str | None, typer.Option(help="With --refit: name of the new sweep; default refit-<time>.")] = None,
    on_ray: Annotated[bool, typer.Option("--ray", help="With --refit: run the items on Ray.")] = False,
    address: Annotated[str | None, typer.Option(help="With --ray: host:port of a running head.")] = None,
) -> None:
    """Score an artifact in nats per token and bits per byte; with --refit make it again from its training and score that."""
    order = RefitOrder(recalibrate=recalibrate, out=out, sweep=sweep, on_ray=on_ray, address=address)
    check_options(order, refit=refit, scoring={"--mode": mode, "--context": context})
    if refit:
        run_refit(artifact, order, overrides=set_ or [], data=data, as_json=as_json)
        return
    made_from = read_provenance(artifact)
    recipe = override(made_from.recipe, set_ or [])
    source = replace(made_from, recipe=recipe, dataset_root=data or made_from.dataset_root)
    modes = tuple(dict.fromkeys(mode or recipe.evaluate.modes))
    scores = rescore(artifact, source, modes=modes, context_tokens=context, device=default_device())
    context_tokens = context or recipe.evaluate.seq_len
    if as_json:
        typer.echo(json.dumps(score_fields(artifact, context_tokens, scores), indent=2))
    else:
        Console().print(score_table(artifact, context_tokens, scores))


app.command()(evaluate)

if __name__ == "__main__":
    run_app(app)
