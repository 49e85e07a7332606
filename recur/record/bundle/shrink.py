"""Smaller source of the same program: short names, no blanks."""

from __future__ import annotations

import ast

import python_minifier

from recur.record.bundle.dead import without_dead
from recur.record.bundle.inline import inline_constants, inline_functions, positional
from recur.record.bundle.rename import rename


def shrink(source: str) -> str:
    """The program with short names for everything that is not seen from outside."""
    tree = inline_functions(inline_constants(positional(without_dead(ast.parse(source)))))
    renamed = ast.unparse(rename(tree))
    small: str = python_minifier.minify(renamed, rename_globals=False, rename_locals=False, hoist_literals=False)
    return small
