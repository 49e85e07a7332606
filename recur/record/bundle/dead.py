"""What a flat program can do without after its questions are answered: empty functions and their calls, attributes that are
always None, results that are named only to be returned, and every definition that nothing refers to any more.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any

from recur.record.bundle.fold import fold
from recur.record.bundle.library import LIBRARY
from recur.record.bundle.reach import CALLED_BY_LIBRARIES
from recur.record.bundle.signatures import shorten_signatures
from recur.record.bundle.strip import is_dataclass

_PURE = {"isinstance", "type", "str", "bool", "int", "float", "tuple", "list", "set"}
_PURE |= {"len", "max", "min", "sum", "all", "any", "sorted", "enumerate"}
_READS = {"items", "keys", "values", "crc32", "is_floating_point", "missing_entries"}
"""Methods (and functions of modules) that only look."""


def without_dead(tree: ast.Module) -> ast.Module:
    """The program without what has no effect; repeated until nothing changes."""
    done: set[str] = set()
    before = ""
    while before != (now := ast.dump(tree)):
        before = now
        tree = _Nones(_always_none(tree)).visit(tree)
        tree = _Empty(_empty_functions(tree)).visit(tree)
        tree.body = [_folded(s, done) for s in tree.body]
        for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
            _return_directly(function)
        shorten_signatures(tree, _pure)
        _drop_fields(tree)
        _drop_unused(tree)
        ast.fix_missing_locations(tree)
    return tree


def _folded(statement: ast.stmt, done: set[str]) -> ast.stmt:
    """A definition folded, unless it is one that came out of it before."""
    if not isinstance(statement, ast.FunctionDef | ast.ClassDef) or ast.dump(statement) in done:
        return statement
    folded = fold(statement, {})
    done.add(ast.dump(folded))
    return folded


def _always_none(tree: ast.Module) -> set[str]:
    """Attributes that are set, and never to anything but None."""
    stored: Counter[str] = Counter()
    nones: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            stored[node.attr] += 1
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is None:
            nones.update(t.attr for t in node.targets if isinstance(t, ast.Attribute) and _of_self(t))
        if isinstance(node, ast.ClassDef):
            for statement in node.body:  # a field, a method or a class attribute of that name is another thing
                stored.update(_class_names(statement))
        if isinstance(node, ast.Call):
            stored.update(k.arg for k in node.keywords if k.arg)
    return {name for name, count in nones.items() if stored[name] == count and name != "grad"}


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _class_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef):
        return [statement.name]
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


class _Nones(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        is_none = isinstance(node.ctx, ast.Load) and node.attr in self._names
        return ast.copy_location(ast.Constant(None), node) if is_none else node


def _empty_functions(tree: ast.Module) -> set[str]:
    functions = [s for s in tree.body if isinstance(s, ast.FunctionDef) and not s.decorator_list]
    return {f.name for f in functions if all(isinstance(s, ast.Pass) for s in f.body)}


class _Empty(ast.NodeTransformer):
    """Leave out calls of empty functions, loops and assignments without effect."""

    def __init__(self, functions: set[str]) -> None:
        self._functions = functions

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        empty = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in self._functions
        return None if empty else node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        node.body = [s for s in node.body if not isinstance(s, ast.Pass)]
        nothing = isinstance(node.iter, ast.Tuple) and not node.iter.elts
        if nothing or (not node.body and not node.orelse and _pure(node.iter)):
            return node.orelse or None
        node.body = node.body or [ast.Pass()]
        return node

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        does_nothing = all(isinstance(s, ast.Pass) for s in (*node.body, *node.orelse))
        return None if does_nothing and _pure(node.test) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        loads = Counter(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        loads.update(n.target.id for n in ast.walk(node) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name))
        outer = {name for n in ast.walk(node) if isinstance(n, ast.Global | ast.Nonlocal) for name in n.names}
        node.body = _without_unused(node.body, loads, outer) or [ast.Pass()]
        return node


def _without_unused(body: list[ast.stmt], loads: Counter[str], outer: set[str]) -> list[ast.stmt]:
    kept = []
    for statement in body:
        if isinstance(statement, ast.Assign) and _pure(statement.value):
            names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
            if len(names) == len(statement.targets) and not any(loads[n] or n in outer for n in names):
                continue
        if isinstance(statement, ast.For):
            statement.body = _without_unused(statement.body, loads, outer) or [ast.Pass()]
        kept.append(statement)
    return kept


def _pure(node: ast.expr) -> bool:
    """Whether an expression has no effect: no calls but of plain builtins and of `_READS`."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Yield | ast.YieldFrom | ast.NamedExpr | ast.Await):
            return False
        if isinstance(inner, ast.Call):
            plain = isinstance(inner.func, ast.Name) and inner.func.id in _PURE
            if not plain and not (isinstance(inner.func, ast.Attribute) and inner.func.attr in _READS):
                return False
    return True


def _return_directly(function: ast.FunctionDef) -> None:
    """``x = ...; return x`` as ``return ...``."""
    loads = Counter(n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    for node in ast.walk(function):
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if not isinstance(block, list) or len(block) < 2:
                continue
            first, last = block[-2:]
            if (
                isinstance(last, ast.Return)
                and isinstance(last.value, ast.Name)
                and isinstance(first, ast.Assign)
                and len(first.targets) == 1
                and isinstance(first.targets[0], ast.Name)
                and first.targets[0].id == last.value.id
                and loads[last.value.id] == 1
            ):
                block[-2:] = [ast.Return(first.value)]


def _drop_fields(tree: ast.Module) -> None:
    """Fields of dataclasses that nothing reads, where every call gives them by keyword and without effect."""
    read = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    calls: dict[str, list[ast.Call]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls.setdefault(node.func.id, []).append(node)
    for node in [n for n in tree.body if isinstance(n, ast.ClassDef) and is_dataclass(n)]:
        made = calls.get(node.name, [])
        if any(c.args or any(k.arg is None for k in c.keywords) for c in made) or _makes_itself(node):
            continue
        fields = {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
        given = [k for c in made for k in c.keywords]
        gone = {f for f in fields - read if all(_without_effect(k.value) for k in given if k.arg == f)}
        for call in made:
            call.keywords = [k for k in call.keywords if k.arg not in gone]
        node.body = [s for s in node.body if not (isinstance(s, ast.AnnAssign) and ast.unparse(s.target) in gone)] or [ast.Pass()]


def _makes_itself(node: ast.ClassDef) -> bool:
    """Whether a class method makes instances by ``cls``."""
    return any(isinstance(n, ast.Name) and n.id == "cls" for n in ast.walk(node))


def _without_effect(node: ast.expr) -> bool:
    """Pure, or one call of a function or of a method without arguments: values are not made by what has an effect."""
    if _pure(node):
        return True
    if not isinstance(node, ast.Call) or not all(map(_pure, node.args)) or node.keywords:
        return False
    return isinstance(node.func, ast.Name) or not node.args


def _drop_unused(tree: ast.Module) -> None:
    """Top-level definitions, imports and methods that nothing names."""
    names = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    names.update(name for n in ast.walk(tree) if isinstance(n, ast.Global) for name in n.names)
    asked = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    asked |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    tree.body = [s for s in tree.body if _is_needed(s, names)]
    used = asked | LIBRARY
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
        function.body = [s for s in function.body if not _sets_unasked(s, used)] or [ast.Pass()]
    for node in [n for n in tree.body if isinstance(n, ast.ClassDef)]:
        node.body = [s for s in node.body if not _is_unasked(s, asked)] or [ast.Pass()]


def _is_needed(statement: ast.stmt, names: Counter[str]) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        inside = Counter(n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        return names[statement.name] > inside[statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        statement.names = [a for a in statement.names if names[a.asname or a.name.split(".")[0]]]
        return bool(statement.names)
    if isinstance(statement, ast.Assign):
        return any(names[n.id] for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name))
    return True


def _sets_unasked(statement: ast.stmt, used: set[Any]) -> bool:
    """Whether a statement does no more than to set an attribute of self that neither we nor a library ever look at."""
    if not isinstance(statement, ast.Assign | ast.AugAssign) or (
        isinstance(statement, ast.Assign) and len(statement.targets) != 1
    ):
        return False
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    ours = isinstance(target, ast.Attribute) and _of_self(target) and target.attr not in used
    return ours and _pure(statement.value)


def _is_unasked(statement: ast.stmt, asked: set[Any]) -> bool:
    if not isinstance(statement, ast.FunctionDef) or statement.name in CALLED_BY_LIBRARIES:
        return False
    return statement.name not in asked and not (statement.name.startswith("__") and statement.name.endswith("__"))
