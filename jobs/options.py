"""What the commands that speak with the service share: options, their parsing, the client. The one place that reads RECUR_API_*
for them: RECUR_API_URL is where the service is, RECUR_API_KEY the bearer key (never an option: others can see a command line).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

from recur.errors import InputError
from recur.record.known import find_known

if TYPE_CHECKING:  # the client loads in half a second, which a wrong option need not wait for
    from api.client import Client

Url = Annotated[str | None, typer.Option("--url", help="Address of the service; default RECUR_API_URL, http://127.0.0.1:8800.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. train.steps=50; may be repeated.")]
DEFAULT_SEEDS = "42,1337,2024"


def open_client(url: str | None) -> Client:
    """A client of the service that the option or the environment names."""
    from api.client import DEFAULT_URL, Client

    return Client(url or os.environ.get("RECUR_API_URL") or DEFAULT_URL, os.environ.get("RECUR_API_KEY") or None)


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """``42,1337`` as numbers; None where nothing was given. Raises InputError for anything else."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise InputError(f"--seeds {text!r}", "must be whole numbers, separated by commas", "e.g. --seeds 42,1337,2024")
    return tuple(int(part) for part in parts)


def parse_baseline(text: str | None) -> int | None:
    """``1334``, ``#1334`` or ``PR 1334`` as the number of a published line. Raises InputError for any other."""
    return None if text is None else find_known(text).pr


def parse_overrides(values: Sequence[str]) -> dict[str, Any]:
    """``section.key=value`` as a mapping; values as in a profile's file, other text as it is.

    Raises:
        InputError: one without ``=``, or of a kind that a request cannot carry.
    """
    found = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {text}", "must have the form section.key=value", "e.g. --set train.steps=50")
        found[key.strip()] = _value(text, value.strip())
    return found


def _value(text: str, value: str) -> Any:
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return value
    if not isinstance(parsed, bool | int | float | str | list):
        raise InputError(f"--set {text}", "must be a number, true, false, text or a list of those", "e.g. --set train.steps=50")
    return parsed


def emit(document: Any, table: RenderableType, *, as_json: bool) -> None:
    """Print a document as JSON, or its table."""
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        Console().print(table)
