"""The script of a recipe: which components it has, the recipe as a literal, and the call that starts it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from recur import config
from recur.artifact.sections import CODERS, CODERS_PACKAGE
from recur.config import Recipe
from recur.record.bundle.flatten import Style, flatten, is_config
from recur.record.bundle.modules import Definition
from recur.record.lines import hyperparameters

ENTRY = Definition("recur.single.program", "main")
CONFIGS = tuple(
    Definition(Recipe.__module__, name)
    for name, kind in vars(config).items()
    if getattr(kind, "__module__", "") == config.__name__
)


def components(recipe: Recipe) -> dict[str, Sequence[str]]:
    """The components that a run of the recipe can ask for, by package."""
    return {
        "recur.model.blocks": (recipe.model.block,),
        "recur.model.skips": (recipe.model.skip,),
        "recur.optim.matrix": (recipe.optim.matrix,),
        "recur.quantize.matrix": (recipe.quantize.matrix,),
        "recur.quantize.rules": (recipe.quantize.scale_rule,),
        "recur.evaluate.modes": tuple(dict.fromkeys(("plain", *recipe.evaluate.modes))),
        CODERS_PACKAGE: CODERS,
        "recur.single.fits": (recipe.artifact.fit,),
    }


def program(recipe: Recipe, style: Style, code_bytes: int | None) -> str:
    """The whole program as source.

    Args:
        recipe: embedded; its code bytes are not, they are told to `main`.
        style: see `Style`.
        code_bytes: size of the packed script; None = the size of the file that runs.
    """
    tree = flatten((ENTRY, *CONFIGS), components(recipe), style)
    size = "getsize(__file__)" if code_bytes is None else str(code_bytes)
    made = literal(recipe, _fields(tree))
    imports = "import sys\nfrom os import environ\nfrom os.path import getsize\n"
    start = f"{imports}sys.exit(main({made}, {_shown(recipe)!r}, sys.argv[1:], environ, {size}))"
    tree.body += ast.parse(start).body
    return ast.unparse(ast.fix_missing_locations(tree))


def _fields(tree: ast.Module) -> dict[str, set[str]]:
    """The fields that are left of every configuration class."""
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and is_config(n)]
    return {c.name: {ast.unparse(f.target) for f in c.body if isinstance(f, ast.AnnAssign)} for c in classes}


def literal(value: Any, left: dict[str, set[str]]) -> str:
    """An expression that makes a configuration of the fields that are left, without what is its default."""
    kind = type(value).__name__
    if kind not in left:
        return repr(value)
    given = {name: inner for name, inner in _departing(value).items() if name in left[kind]}
    return f"{kind}({', '.join(f'{name}={literal(inner, left)}' for name, inner in given.items())})"


def departures(value: Any) -> dict[str, Any]:
    """What differs from the defaults of `recur.config`, as nested mappings (for the log)."""
    given = _departing(value)
    return {name: departures(inner) if is_dataclass(inner) else inner for name, inner in given.items()}


def _shown(recipe: Recipe) -> str:
    """For the log: without how the package gets its data and its machines."""
    values = {name: value for name, value in departures(recipe).items() if name not in ("data", "cluster")}
    return "\n".join(hyperparameters(values))


def _departing(value: Any) -> dict[str, Any]:
    kind = type(value)
    default = kind(profile="") if isinstance(value, Recipe) else kind()
    names = [f.name for f in fields(value) if f.name != "code_bytes"]
    return {name: getattr(value, name) for name in names if getattr(value, name) != getattr(default, name)}
