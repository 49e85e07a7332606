"""The script of a recipe: which components it has, the recipe as a literal, and the call that starts it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from recur import config
from recur.artifact.sections import CODERS, CODERS_PACKAGE
from recur.config import Recipe
from recur.record.bundle.flatten import Style, flatten
from recur.record.bundle.modules import Definition

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
    size = "os.path.getsize(__file__)" if code_bytes is None else str(code_bytes)
    start = f"import os, sys\nsys.exit(main({literal(recipe)}, sys.argv[1:], os.environ, {size}))"
    tree.body += ast.parse(start).body
    return ast.unparse(ast.fix_missing_locations(tree))


def literal(value: Any) -> str:
    """An expression that makes a configuration, without what is its default."""
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    kind = type(value)
    default = kind(profile="") if isinstance(value, Recipe) else kind()
    given = [f.name for f in fields(value) if f.name != "code_bytes" and getattr(value, f.name) != getattr(default, f.name)]
    return f"{kind.__name__}({', '.join(f'{name}={literal(getattr(value, name))}' for name in given)})"
