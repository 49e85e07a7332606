"""Shorter signatures: without parameters that nothing reads, and with the value in place of those that only ever have one.

A function is called by its own name or, in the table of components, by the name of a part; all functions behind one such
name change together. A function that is handed on as a value, or called with stars, stays as it is.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from recur.record.bundle.overrides import COMPONENTS
from recur.record.bundle.scopes import clone


@dataclass(kw_only=True)
class Callee:
    """Functions that are called by one name, and those calls; ``skipped``: parameters in front, which no call gives (self)."""

    functions: list[ast.FunctionDef] = field(default_factory=list)
    calls: list[ast.Call] = field(default_factory=list)
    skipped: int = 0

    def names(self) -> list[str]:
        """Parameters of all the functions in order; none where the functions differ in them."""
        found = [[a.arg for a in _parameters(f)[self.skipped :]] for f in self.functions]
        return found[0] if all(names == found[0] for names in found) else []

    def given(self, call: ast.Call, name: str) -> ast.expr | None:
        """What a call gives for a parameter."""
        position = [a.arg for a in self.functions[0].args.args[self.skipped :]]
        if name in position and position.index(name) < len(call.args):
            return call.args[position.index(name)]
        return next((k.value for k in call.keywords if k.arg == name), None)

    def drop(self, name: str) -> None:
        """Leave a parameter out everywhere."""
        for call in self.calls:
            value = self.given(call, name)
            call.args = [a for a in call.args if a is not value]
            call.keywords = [k for k in call.keywords if k.value is not value]
        for function in self.functions:
            _drop(function.args, name)


def shorten_signatures(tree: ast.Module, pure: Callable[[ast.expr], bool]) -> None:
    """Change signatures and calls of a whole program in place."""
    for callee in _callees(tree):
        read = set[str]().union(*map(_names, callee.functions))
        for name in callee.names():
            if name not in read:
                if all(value is None or pure(value) for value in (callee.given(call, name) for call in callee.calls)):
                    callee.drop(name)
            elif not any(_writes(f, name) for f in callee.functions):
                found = [(f, value) for f in callee.functions if (value := _only_value(callee, f, name)) is not None]
                if len(found) == len(callee.functions):
                    for function, value in found:
                        _Put(name, value).visit(function)
                    callee.drop(name)


def _only_value(callee: Callee, function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The one value that a parameter ever has: the constant that every call gives, or the default where none gives any."""
    given = [callee.given(call, name) for call in callee.calls]
    if all(value is None for value in given):
        return _default(function, name)
    constants = [value for value in given if isinstance(value, ast.Constant)]
    same = len(constants) == len(given) and len({ast.dump(value) for value in constants}) == 1
    return constants[0] if same else None


def _callees(tree: ast.Module) -> Iterable[Callee]:
    found, by_part = _defined(tree), _parts(tree)
    calls, loose = _uses(tree, {id(value) for values in by_part.values() for value in values})
    behind = {value.id for values in by_part.values() for value in values}
    for name, (function, skipped) in found.items():
        if name not in loose | behind:
            yield Callee(functions=[function], calls=calls[False, name], skipped=skipped)
    methods = {m.name for c in tree.body if isinstance(c, ast.ClassDef) for m in c.body if isinstance(m, ast.FunctionDef)}
    for part, values in by_part.items():
        names = {value.id for value in values}
        if part not in loose | methods and names <= found.keys() and not names & loose and not any(found[n][1] for n in names):
            own = [call for name in sorted(names) for call in calls[False, name]]
            yield Callee(functions=[found[n][0] for n in sorted(names)], calls=[*calls[True, part], *own])


def _uses(tree: ast.Module, parts: set[int]) -> tuple[dict[tuple[bool, str], list[ast.Call]], set[str]]:
    """Calls by (as an attribute, name), and names that are handed on as values or called with stars."""
    calls, loose = defaultdict[tuple[bool, str], list[ast.Call]](list), set[str]()
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = (
                node.func.id
                if isinstance(node.func, ast.Name)
                else node.func.attr
                if isinstance(node.func, ast.Attribute)
                else ""
            )
            starred = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
            calls[isinstance(node.func, ast.Attribute), name].append(node)
            loose |= {name} if starred else set()
        elif isinstance(node, ast.Name) and id(node) not in called | parts:
            loose.add(node.id)
        elif isinstance(node, ast.Attribute) and id(node) not in called:
            loose.add(node.attr)
    return calls, loose


def _defined(tree: ast.Module) -> dict[str, tuple[ast.FunctionDef, int]]:
    """Top-level functions, and the constructors of classes without bases and decorators, with the parameters to skip."""
    found: dict[str, tuple[ast.FunctionDef, int]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            found[node.name] = node, 0
        elif isinstance(node, ast.ClassDef) and not node.bases and not node.decorator_list:
            made = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            found.update((node.name, (f, 1)) for f in made)
    return {
        name: (f, skipped) for name, (f, skipped) in found.items() if not (f.args.vararg or f.args.kwarg or f.args.posonlyargs)
    }


def _parts(tree: ast.Module) -> dict[str, list[ast.Name]]:
    """The functions in the table of components by the name of the part."""
    found: dict[str, list[ast.Name]] = defaultdict(list)
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == COMPONENTS.name:
            for call in [n for n in ast.walk(statement.value) if isinstance(n, ast.Call)]:
                for keyword in call.keywords:
                    if keyword.arg and isinstance(keyword.value, ast.Name):
                        found[keyword.arg].append(keyword.value)
    return found


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.args, *function.args.kwonlyargs]


def _names(function: ast.FunctionDef) -> set[str]:
    """Every name in the body."""
    return {n.id for s in function.body for n in ast.walk(s) if isinstance(n, ast.Name)}


def _writes(function: ast.FunctionDef, name: str) -> bool:
    """Whether the name is given another value inside, or is a parameter of a function inside."""
    inner = [n for s in function.body for n in ast.walk(s)]
    stored = any(isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load) for n in inner)
    return stored or any(isinstance(n, ast.arg) and n.arg == name for n in inner)


def _default(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The default of a parameter if it is a constant, or a name that means the same inside; else None."""
    args = function.args
    late = args.args[len(args.args) - len(args.defaults) :]
    pairs = [*zip(late, args.defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    value = next((default for a, default in pairs if a.arg == name), None)
    hidden = isinstance(value, ast.Name) and _writes(function, value.id)
    return value if isinstance(value, ast.Constant | ast.Name) and not hidden else None


def _drop(args: ast.arguments, name: str) -> None:
    late = len(args.args) - len(args.defaults)
    for index, a in enumerate(args.args):
        if a.arg == name:
            if index >= late:
                del args.defaults[index - late]
            del args.args[index]
            return
    index = [a.arg for a in args.kwonlyargs].index(name)
    del args.kwonlyargs[index], args.kw_defaults[index]


class _Put(ast.NodeTransformer):
    """A value in place of a name."""

    def __init__(self, name: str, value: ast.expr) -> None:
        self._name, self._value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return clone(self._value) if node.id == self._name else node
