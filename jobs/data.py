"""Make, fetch or check a dataset: `python jobs/data.py embedded|docs|fetch|check ...`.

Thin: the work is in `recur.data`. A recipe says how (vocabulary, held-out documents, shard size), so what is made
here is found again by a run with the same profile and `--set` values.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

if __package__ in (None, ""):  # run as a file: the repository's root holds the packages
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.errors import run_app
from recur.data.corpus import prepare
from recur.data.dataset import Dataset, load_dataset, summary, verify_dataset
from recur.data.fetch import fetch as fetch_published
from recur.recipe import load_recipe

app = typer.Typer(help="Make, fetch or check a dataset.", no_args_is_help=True, add_completion=False)

Out = Annotated[Path, typer.Option(help="Folder of datasets; each gets its own folder in it.")]
Profile = Annotated[str, typer.Option(help="Recipe that says how: a shipped name or a .toml file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override of the recipe, e.g. data.val_docs=100.")]
Model = Annotated[Path | None, typer.Option(help="SentencePiece model to reuse instead of training one.")]
Files = Annotated[list[str], typer.Argument(help="JSONL, JSONL.gz or TXT files, or quoted globs.")]
Endpoint = Annotated[str | None, typer.Option(help="Base URL of the Hub.")]
Root = Annotated[str, typer.Option(help="Folder of the repository that holds manifest.json.")]


@app.command()
def embedded(out: Out, profile: Profile = "smoke", set_: Set = None, tokenizer: Model = None) -> None:
    """The text that ships with CPython; no network."""
    _prepare("embedded", out, profile, set_, tokenizer)


@app.command()
def docs(files: Files, out: Out, profile: Profile = "smoke", set_: Set = None, tokenizer: Model = None) -> None:
    """Your own documents; the first data.val_docs of them are held out."""
    _prepare("docs", out, profile, set_, tokenizer, files)


@app.command()
def fetch(
    out: Out, profile: Profile = "record_1421", set_: Set = None, endpoint: Endpoint = None, root: Root = "datasets"
) -> None:
    """Published shards (data.repo_id, .variant, .train_shards); after an interruption the same command goes on."""
    recipe = load_recipe(profile, set_ or [])
    _show(fetch_published(recipe.data, recipe.model.vocab_size, out_root=out, endpoint=endpoint, remote_root=root))


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="A dataset folder.")]) -> None:
    """Read every byte of a dataset again and hold it against its manifest."""
    dataset = load_dataset(folder)
    verify_dataset(dataset)
    _show(dataset)


def _prepare(
    source: str, out: Path, profile: str, set_: list[str] | None, tokenizer: Path | None, files: list[str] | None = None
) -> None:
    recipe = load_recipe(profile, [*(set_ or []), f"data.source={source}"])
    size, window = recipe.model.vocab_size, recipe.model.train_seq_len
    _show(prepare(recipe.data, size, out_root=out, docs=files, tokenizer=tokenizer, train_seq_len=window))


def _show(dataset: Dataset) -> None:
    typer.echo(summary(dataset))


if __name__ == "__main__":
    run_app(app)
