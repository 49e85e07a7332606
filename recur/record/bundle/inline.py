"""Keywords to positions, and constants to the places where they are used: what a reader wants and a machine does not.

A call of a function or class of ours gives its arguments by position where their order allows it, so that parameters need
no name that is known outside. A top-level constant that is a plain number or text is put where it is used.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass

from recur.record.bundle.scopes import clone
from recur.record.bundle.strip import is_dataclass

_LONGEST_SHARED = 12
"""Characters of a constant up to which it is repeated rather than named."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Names of the parameters that a call can give, in order."""

    names: tuple[str, ...]


def positional(tree: ast.Module) -> ast.Module:
    """Every call that can be is made positional, and keyword-only parameters that need not be so are plain ones.

    Dataclasses are no longer frozen: nothing changes or hashes them, which the package's own run has shown.
    """
    signatures = _signatures(tree)
    methods = _method_signatures(tree)
    _Calls(signatures, methods).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            _plain(node.args)
        elif isinstance(node, ast.ClassDef) and node.name in signatures and is_dataclass(node):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call):
                    decorator.keywords = [k for k in decorator.keywords if k.arg not in ("kw_only", "frozen")]
            node.decorator_list = [d.func if isinstance(d, ast.Call) and not d.keywords else d for d in node.decorator_list]
    return ast.fix_missing_locations(tree)


def _signatures(tree: ast.Module) -> dict[str, Signature]:
    found: dict[str, Signature] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _convertible(node.args):
            found[node.name] = Signature(names=_names(node.args))
        elif isinstance(node, ast.ClassDef):
            made = _constructor(node)
            if made is not None:
                found[node.name] = made
    return found


def _constructor(node: ast.ClassDef) -> Signature | None:
    own = [s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
    if own:
        return Signature(names=_names(own[0].args)[1:]) if _convertible(own[0].args) else None
    if not is_dataclass(node) or node.bases:
        return None
    fields = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    given = [f.value is not None for f in fields]
    if given != sorted(given):  # a field with a default before one without must stay keyword-only
        return None
    return Signature(names=tuple(f.target.id for f in fields if isinstance(f.target, ast.Name)))


def _method_signatures(tree: ast.Module) -> dict[str, Signature]:
    """Methods whose name no other method, attribute of a component or top-level name has."""
    methods = [m for c in tree.body if isinstance(c, ast.ClassDef) for m in c.body if isinstance(m, ast.FunctionDef)]
    counts = Counter(m.name for m in methods)
    taken = {k.arg for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords}
    return {
        m.name: Signature(names=_names(m.args)[1:])
        for m in methods
        if counts[m.name] == 1 and m.name not in taken and _convertible(m.args) and not m.name.startswith("__")
    }


def _convertible(arguments: ast.arguments) -> bool:
    """Whether keyword-only parameters can be plain ones: no ``*args``, and no default before one without."""
    if arguments.vararg or arguments.kwarg:
        return False
    free = [d is not None for d in arguments.kw_defaults]
    return free == sorted(free) and not (arguments.defaults and False in free)


def _names(arguments: ast.arguments) -> tuple[str, ...]:
    return tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def _plain(arguments: ast.arguments) -> None:
    if _convertible(arguments):
        arguments.args += arguments.kwonlyargs
        arguments.defaults += [d for d in arguments.kw_defaults if d is not None]
        arguments.kwonlyargs, arguments.kw_defaults = [], []


class _Calls(ast.NodeTransformer):
    def __init__(self, functions: dict[str, Signature], methods: dict[str, Signature]) -> None:
        self._functions, self._methods = functions, methods

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = None
        if isinstance(node.func, ast.Name):
            called = self._functions.get(node.func.id)
        elif isinstance(node.func, ast.Attribute):
            called = self._methods.get(node.func.attr)
        if called is not None:
            _by_position(node, called)
        return node


def _by_position(node: ast.Call, called: Signature) -> None:
    """Move keywords to their positions as far as there is no gap; a call with ``*`` or ``**`` stays."""
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        return
    left = {str(k.arg): k for k in node.keywords}
    for name in called.names[len(node.args) :]:
        if name not in left:
            break
        node.args.append(left.pop(name).value)
    node.keywords = list(left.values())


def inline_functions(tree: ast.Module) -> ast.Module:
    """One-line functions that are called in one place, or only hand on what they are given, put there."""
    while True:
        uses = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
        lines = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef) and _is_one_line(f)}
        caller = _Inline({name: f for name, f in lines.items() if uses[name] == 1 or _hands_on(f)})
        tree = caller.visit(tree)
        if not caller.done:
            return ast.fix_missing_locations(tree)
        left = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
        tree.body = [s for s in tree.body if not (isinstance(s, ast.FunctionDef) and s.name in lines and not left[s.name])]


def _hands_on(function: ast.FunctionDef) -> bool:
    only = function.body[0]
    return isinstance(only, ast.Return) and isinstance(only.value, ast.Name)


def _is_one_line(function: ast.FunctionDef) -> bool:
    plain = not function.decorator_list and not function.args.defaults and _convertible(function.args)
    only = function.body[0]
    if not plain or len(function.body) != 1 or not isinstance(only, ast.Return) or only.value is None:
        return False
    return not any(isinstance(n, ast.Lambda | ast.NamedExpr | ast.Yield | ast.YieldFrom) for n in ast.walk(only))


class _Inline(ast.NodeTransformer):
    def __init__(self, functions: dict[str, ast.FunctionDef]) -> None:
        self._functions, self.done = functions, set[str]()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = self._functions.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if function is None or node.keywords or len(node.args) != len(_names(function.args)):
            return node
        body = function.body[0]
        assert isinstance(body, ast.Return) and body.value is not None
        given = dict(zip(_names(function.args), node.args, strict=True))
        if not _fits(body.value, given):
            return node
        self.done.add(function.name)
        replaced: ast.AST = _Constants(given).visit(clone(body.value))
        return replaced


def _fits(body: ast.expr, given: dict[str, ast.expr]) -> bool:
    """Whether arguments can stand where parameters do: read once or plain, and no name of a comprehension in the way."""
    reads = Counter(n.id for n in ast.walk(body) if isinstance(n, ast.Name))
    inner = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    comprehends = any(isinstance(n, ast.comprehension) for n in ast.walk(body))
    for name, value in given.items():
        if isinstance(value, ast.Starred) or inner & {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}:
            return False
        calls = any(isinstance(n, ast.Call | ast.comprehension | ast.Lambda) for n in ast.walk(value))
        handed_on = isinstance(body, ast.Name) and body.id == name
        if not handed_on and (
            calls or not (isinstance(value, ast.Name | ast.Constant) or (reads[name] == 1 and not comprehends))
        ):
            return False
    return True


def inline_constants(tree: ast.Module) -> ast.Module:
    """Numbers and short texts in place of the top-level names that hold them."""
    stored = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    changed = {name for n in ast.walk(tree) if isinstance(n, ast.Global) for name in n.names}
    while True:
        used = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        values: dict[str, ast.expr] = {}
        kept: list[ast.stmt] = []
        for statement in tree.body:
            found = _plain_constants(statement)
            if found and all(stored[n] == 1 and n not in changed and _short_enough(v, used[n]) for n, v in found):
                values |= dict(found)
            else:
                kept.append(statement)
        tree.body = kept
        if not values:
            return ast.fix_missing_locations(tree)
        tree = _Constants(values).visit(tree)


def _short_enough(value: ast.expr, uses: int) -> bool:
    return uses <= 1 or len(ast.unparse(value)) <= _LONGEST_SHARED


def _plain_constants(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Names with their values, if the statement gives plain constants to plain names and to nothing else."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    target, value = statement.targets[0], statement.value
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=True))
    if not all(isinstance(t, ast.Name) and _is_plain(v) for t, v in pairs):
        return []
    return [(t.id, v) for t, v in pairs if isinstance(t, ast.Name)]


def _is_plain(value: ast.expr) -> bool:
    """Numbers, texts, and what is computed from numbers alone."""
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.UnaryOp):
        return _is_plain(value.operand)
    return isinstance(value, ast.BinOp) and _is_plain(value.left) and _is_plain(value.right)


class _Constants(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            return clone(self._values[node.id])
        return node
