"""The recipe's values in place of the questions after them, and what can then never run left out.

A configuration's field is put in place where its name belongs to no other class of ours and to no library, so that
``anything.field`` can be nothing else, and behind ``cfg`` or ``recipe.branch``, which in this package are always
configurations. Values that a run changes (code bytes, calibration for another world size) stay.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from recur.config import Recipe
from recur.record.bundle.library import LIBRARY
from recur.record.bundle.modules import ROOT
from recur.record.bundle.scopes import bound_names, clone, parameters

_CONFIG = "cfg"
_BRANCHES = {field.name for field in fields(Recipe)}
_CHANGED = {"code_bytes", "calibration_batches", "fisher_batches", "workers"}


def known_values(recipe: Recipe) -> dict[str, Any]:
    """Fields of the recipe with their values: by name where that is enough, else as ``cfg.name``."""
    found = list(_leaves(recipe))
    counts = Counter(name for name, _ in found)
    once = {n: v for n, v in found if counts[n] == 1 and n not in _CHANGED}
    taken = LIBRARY | _other_attributes()
    return {f"{_CONFIG}.{n}" if n in taken else n: v for n, v in once.items()}


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            yield from _leaves(inner)
        else:
            yield field.name, inner


@lru_cache(maxsize=1)
def _other_attributes() -> frozenset[str]:
    """Every name that is an attribute of anything else of ours: fields, methods, what is set on self, parts of modules."""
    names: set[str] = set()
    for path in sorted((ROOT / "recur").rglob("*.py")):
        if path.name == "config.py" or (ROOT / "recur" / "record") in path.parents:
            continue  # of the records' room a program takes plain functions and one enum
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bodies = [tree.body, *(n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]
        names |= {name for body in bodies for name in bound_names(body)}
        names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return frozenset(names)


def fold(statement: ast.stmt, values: dict[str, Any]) -> ast.stmt:
    """Put the values in place in a top-level statement and leave out what cannot run."""
    folded: ast.stmt = _Fold(values).visit(statement)
    while sum(_propagate(n) for n in ast.walk(folded) if isinstance(n, ast.FunctionDef)):
        folded = _Fold({}).visit(folded)
    return ast.fix_missing_locations(folded)


class _Fold(ast.NodeTransformer):
    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Fold inside, then cut blocks behind what leaves them."""
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and not isinstance(node, ast.Module):
                cut = _until_exit(block)
                setattr(node, name, cut or ([ast.Pass()] if name == "body" else []))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        for key in (node.attr, f"{_CONFIG}.{node.attr}" if _is_config(node.value) else node.attr):
            if key in self._values:
                return _constant(self._values[key])
        return node

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        if not _is_constant(node.test):
            return node
        return (node.body if _value(node.test) else node.orelse) or None

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if not _is_constant(node.test):
            return node
        return node.body if _value(node.test) else node.orelse

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _constant(_value(node)) if isinstance(node.op, ast.Not) and _is_constant(node.operand) else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        return _constant(_value(node)) if all(map(_is_constant, (node.left, *node.comparators))) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        plain = isinstance(node.func, ast.Name) and node.func.id in ("len", "bool", "max", "min") and not node.keywords
        return _constant(_value(node)) if plain and node.args and all(map(_is_constant, node.args)) else node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        is_and, kept = isinstance(node.op, ast.And), list[ast.expr]()
        for position, part in enumerate(node.values):
            if not _is_constant(part):
                kept.append(part)
            elif bool(_value(part)) != is_and or position == len(node.values) - 1:
                kept.append(part)
                break
        if len(kept) == 1:
            return kept[0]
        node.values = kept
        return node


def _is_config(node: ast.expr) -> bool:
    """Whether an expression is ``cfg``, ``anything.cfg`` or ``recipe.branch``."""
    if isinstance(node, ast.Attribute) and node.attr in _BRANCHES and _last_name(node.value) == "recipe":
        return True
    return _last_name(node) == _CONFIG


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _until_exit(block: list[ast.stmt]) -> list[ast.stmt]:
    """Statements up to the first that leaves the block; without those that do nothing."""
    kept: list[ast.stmt] = []
    for statement in block:
        kept.append(statement)
        if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
            break
    return kept if len(kept) < 2 else [s for s in kept if not isinstance(s, ast.Pass)]


def _propagate(function: ast.FunctionDef) -> bool:
    """Locals that are given one constant and never another are put in place; whether there were any."""
    stores = Counter(n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))
    stores.update(a.arg for f in ast.walk(function) if isinstance(f, ast.FunctionDef | ast.Lambda) for a in parameters(f))
    values: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if stores[name] == 1 and _is_constant(node.value):
                values[name] = node.value
    if values:
        _Locals(values).visit(function)
    return bool(values)


class _Locals(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        target = node.targets[0]
        if len(node.targets) == 1 and isinstance(target, ast.Name) and target.id in self._values:
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            return clone(self._values[node.id])
        return node


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return all(map(_is_constant, node.elts))
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    return isinstance(node, ast.Constant)


def _value(node: ast.expr) -> Any:
    """Value of an expression of constants and plain builtins."""
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # "5 is None", once a field's value is in place
        return eval(compile(ast.fix_missing_locations(ast.Expression(clone(node))), "constant", "eval"))


def _constant(value: Any) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body
