"""Slips of a script that its syntax shows, as the published review of #1421 named them (docs/review.md).

By the syntax tree, never by running: a branch for "not configured" that falls through, a function declared to return a
value that returns none, one declared to return none that returns a value, and a Python list of tuples built entry by entry
over a tensor. What is found is what stands there, not whether a run gets to it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from recur.record.check.finding import Finding, note, warning

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_PRINTING = {"print", "log", "debug", "info", "warning", "warn", "error", "write", "flush", "format", "str", "repr"}
_OVER_ENTRIES = {"nonzero", "numel", "argwhere", "where", "unravel_index"}
_PER_TENSOR = {"tolist", "flatten", "item", "shape"}
"""What runs over a tensor's entries in a loop inside a loop over tensors; alone it may be a short list."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_habits(tree: ast.Module, file: str) -> Iterator[Finding]:
    """All four slips in every function of a module."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield from _falls_through(node, file)
            yield from _returns(node, file)
            yield from _entry_lists(node, file)


def _falls_through(function: Function, file: str) -> Iterator[Finding]:
    """`if x is None: <no way out>` and then `x.something` in the same block."""
    for holder in ast.walk(function):
        body = getattr(holder, "body", None)
        if not isinstance(body, list):
            continue
        for i, statement in enumerate(body):
            name = _none_test(statement)
            if name is None or not isinstance(statement, ast.If) or statement.orelse:
                continue
            settled = any(_settles(n, name) for s in statement.body for n in ast.walk(s))
            if not settled and (use := _first_use(body[i + 1 :], name)) is not None:
                said = f"{function.name}(): where {name} is None it goes on and reads {name}.{use.attr} at line {use.lineno}"
                yield warning("falls_through", said, "return in the first branch", file=file, line=statement.lineno)


def _none_test(statement: ast.stmt) -> str | None:
    if not isinstance(statement, ast.If):
        return None
    test = statement.test
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Name):
        return test.operand.id
    if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and isinstance(test.ops[0], ast.Is)):
        return None
    against = test.comparators[0]
    return test.left.id if isinstance(against, ast.Constant) and against.value is None else None


def _settles(node: ast.AST, name: str) -> bool:
    """A way out, a new value for the name, or a call that may give it one: anything but printing."""
    if isinstance(node, _LEAVES):
        return True
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
        return True
    if isinstance(node, ast.Import | ast.ImportFrom):
        return name in [alias.asname or alias.name for alias in node.names]
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    return called not in _PRINTING


def _first_use(statements: list[ast.stmt], name: str) -> ast.Attribute | None:
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
                return node
    return None


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _returns(function: Function, file: str) -> Iterator[Finding]:
    declared = function.returns
    if declared is None:
        return
    own = list(_own_nodes(function))
    given = [n for n in own if isinstance(n, ast.Return) and n.value is not None and not _is_none(n.value)]
    shown = ast.unparse(declared)
    if _is_none(declared):
        for statement in given[:1]:
            what = f"a tuple of {len(statement.value.elts)}" if isinstance(statement.value, ast.Tuple) else "a value"
            said = f"{function.name}() is declared -> None and returns {what}"
            yield warning("return_type", said, "declare what it returns", file=file, line=statement.lineno)
        return
    optional = any(word in shown for word in ("None", "Optional", "Any", "object", "NoReturn", "Never"))
    passes_on = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own)
    if not given and not optional and not passes_on and not _is_stub(function):
        said = f"{function.name}() is declared -> {shown} and returns nothing"
        yield warning("return_type", said, "return it, or declare None", file=file, line=function.lineno)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_stub(function: Function) -> bool:
    """A body that is only a docstring, `...`, `pass`, or that always raises."""
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return not body or isinstance(body[-1], ast.Raise) or all(isinstance(s, ast.Pass) for s in body)


def _entry_lists(function: Function, file: str) -> Iterator[Finding]:
    """The first list of tuples that grows by the entries of a tensor, in a loop or as a comprehension."""
    outer = [loop for loop in ast.walk(function) if isinstance(loop, ast.For)]
    nested = {id(inner) for loop in outer for inner in ast.walk(loop) if inner is not loop}
    for node in ast.walk(function):
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For) and any(_appends_tuple(n) for n in ast.walk(node)):
            iterated = [node.iter]
        elif isinstance(node, ast.ListComp) and isinstance(node.elt, ast.Tuple):
            iterated = [g.iter for g in node.generators]
        words = _OVER_ENTRIES | _PER_TENSOR if id(node) in nested else _OVER_ENTRIES
        if isinstance(node, ast.For | ast.ListComp) and any(_names_any(e, words) for e in iterated):
            yield _entry_list(function, file, next((n.lineno for n in ast.walk(node) if _appends_tuple(n)), node.lineno))
            return


def _entry_list(function: Function, file: str, line: int) -> Finding:
    said = f"{function.name}() builds a Python list of tuples over a tensor's entries; millions of them need gigabytes"
    return note("entry_list", said, "select with tensors", file=file, line=line)


def _names_any(node: ast.expr, words: set[str]) -> bool:
    return any(
        (isinstance(n, ast.Attribute) and n.attr in words) or (isinstance(n, ast.Name) and n.id in words) for n in ast.walk(node)
    )


def _appends_tuple(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Tuple)
    )
