"""`jobs/evaluate.py --refit`: what was ordered, checked, run here or on Ray, and printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from recur.config import Recipe
from recur.errors import InputError
from recur.pipeline.backend import Backend, LocalBackend
from recur.pipeline.refit import attempt_of, refit, refit_recipe
from recur.recipe import override
from recur.record.refit_table import refit_fields, refit_table

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class RefitOrder:
    """Options that only a refit has."""

    recalibrate: int | None
    out: Path | None
    sweep: str | None
    on_ray: bool
    address: str | None


def check_options(order: RefitOrder, *, refit: bool, scoring: Mapping[str, object]) -> None:
    """Refuse options that the other way of running has.

    Raises:
        InputError: the first of them.
    """
    if not refit and any(astuple(order)):
        raise InputError("--recalibrate, --out, --sweep, --ray or --address", "belongs to a refit", "add --refit")
    for name, value in scoring.items():
        if refit and value:
            raise InputError(f"{name} with --refit", "only scores", "set evaluate.modes or evaluate.seq_len with --set")
    if order.address and not order.on_ray:
        raise InputError(f"--address {order.address}", "belongs to Ray", "add --ray")


def run_refit(path: Path, order: RefitOrder, *, overrides: Sequence[str], data: Path | None, as_json: bool) -> None:
    """Refit the attempt at ``path`` and print what came out."""
    source = attempt_of(path)
    source = source if data is None else replace(source, dataset_root=data.expanduser().resolve())
    recipe = refit_recipe(source.recipe, override(source.recipe, overrides), recalibrated=order.recalibrate is not None)
    sweep = order.sweep or f"refit-{time.strftime('%Y%m%d-%H%M%S')}"
    if sweep in (".", "..") or Path(sweep).name != sweep:
        raise InputError(f"--sweep {sweep!r}", "must be the name of a folder", "leave out slashes")
    out = source.out if order.out is None else order.out.expanduser().resolve()
    with _backend(order, recipe) as backend:
        found = refit(source, recipe, out=out, sweep=sweep, backend=backend, recalibrate_shares=order.recalibrate or 0)
    if as_json:
        typer.echo(json.dumps(refit_fields(found), indent=2))
    else:
        Console().print(refit_table(found))
        typer.echo(str(found.folder))


@contextmanager
def _backend(order: RefitOrder, recipe: Recipe) -> Iterator[Backend]:
    """This process, or the cluster; Ray is imported only then."""
    if not order.on_ray:
        yield LocalBackend()
        return
    from cluster.items import ray_items

    with ray_items(recipe.cluster, ROOT, order.address) as backend:
        yield backend
