"""Smaller source of the same program: short names, no blanks."""

from __future__ import annotations

import ast
from string import ascii_letters

import python_minifier

from recur.record.bundle.dead import without_dead
from recur.record.bundle.inline import inline_constants, inline_functions, positional
from recur.record.bundle.overrides import COMPONENTS
from recur.record.bundle.rename import rename


def shrink(source: str) -> str:
    """The program with short names for everything that is not seen from outside."""
    tree = inline_functions(inline_constants(positional(without_dead(ast.parse(source)))))
    renamed = ast.unparse(rename(_short_packages(tree)))
    small: str = python_minifier.minify(renamed, rename_globals=False, rename_locals=False, hoist_literals=False)
    return small


def _short_packages(tree: ast.Module) -> ast.Module:
    """Packages of components by one letter each: their names are keys of a table and nothing else."""
    tables = [s.value for s in tree.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == COMPONENTS.name]
    packages = [str(k.value) for t in tables if isinstance(t, ast.Dict) for k in t.keys if isinstance(k, ast.Constant)]
    short = dict(zip(packages, ascii_letters, strict=False))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in short:
            node.value = short[node.value]
    return tree
