"""Names in their scopes: every name of a definition that is not local to it, given to a function that may replace it.

Python's rules: a function's locals are its parameters and what it binds; a class body sees its own names but its methods do
not; a comprehension has its targets to itself, except that ``:=`` binds in the function around it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Replace = Callable[[str], str | None]
"""The new name of a global name; None leaves it."""
Node = TypeVar("Node", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Scope:
    """Names bound in one scope; ``is_class`` scopes are not seen from scopes inside them."""

    names: frozenset[str]
    is_class: bool = False


class Globals(ast.NodeTransformer):
    """Replace global names (and global modules' attributes, see ``attribute``) in one top-level statement.

    Args:
        name: asked for every global name, loaded or stored.
        attribute: asked for every attribute of a global name; the name to put in place of the whole, or None.
    """

    def __init__(self, name: Replace, attribute: Callable[[str, str], str | None] = lambda name, attribute: None) -> None:
        self._name, self._attribute = name, attribute
        self._scopes: list[Scope] = []

    def _is_global(self, name: str) -> bool:
        innermost = len(self._scopes) - 1
        return not any(
            name in scope.names and (not scope.is_class or level == innermost) for level, scope in enumerate(self._scopes)
        )

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self._is_global(node.id):
            node.id = self._name(node.id) or node.id
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = node.value
        if isinstance(value, ast.Name) and self._is_global(value.id):
            whole = self._attribute(value.id, node.attr)
            if whole is not None:
                return ast.copy_location(ast.Name(whole, node.ctx), node)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._name(name) or name for name in node.names]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if not self._scopes:
            node.name = self._name(node.name) or node.name
        node.decorator_list = self._each(node.decorator_list)
        self._function(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._function(node)
        return node

    def _function(self, node: Any) -> None:
        arguments: ast.arguments = node.args
        arguments.defaults = self._each(arguments.defaults)
        arguments.kw_defaults = [None if d is None else self.visit(d) for d in arguments.kw_defaults]
        for argument in parameters(node):
            argument.annotation = argument.annotation and self.visit(argument.annotation)
        if not isinstance(node, ast.Lambda):
            node.returns = node.returns and self.visit(node.returns)
        self._scopes.append(Scope(local_names(node)))
        node.body = self._each(node.body) if isinstance(node.body, list) else self.visit(node.body)
        self._scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not self._scopes:
            node.name = self._name(node.name) or node.name
        node.decorator_list, node.bases = self._each(node.decorator_list), self._each(node.bases)
        node.keywords = self._each(node.keywords)
        self._scopes.append(Scope(frozenset(bound_names(node.body)), is_class=True))
        node.body = self._each(node.body)
        self._scopes.pop()
        return node

    def visit_ListComp(self, node: Any) -> ast.AST:
        first: ast.comprehension = node.generators[0]
        first.iter = self.visit(first.iter)
        names = frozenset(n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name))
        self._scopes.append(Scope(names))
        for generator in node.generators:
            generator.target = self.visit(generator.target)
            if generator is not first:
                generator.iter = self.visit(generator.iter)
            generator.ifs = self._each(generator.ifs)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                setattr(node, part, self.visit(getattr(node, part)))
        self._scopes.pop()
        return node  # type: ignore[no-any-return]

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def _each(self, nodes: Sequence[Any]) -> list[Any]:
        return [self.visit(node) for node in nodes]


def clone(node: Node) -> Node:
    """A copy of a tree. Not `copy.deepcopy`: parsed trees share nodes such as ``Load()``, on which others hang attributes."""
    copied = type(node)()
    for name, value in ast.iter_fields(node):
        whole = [clone(v) if isinstance(v, ast.AST) else v for v in value] if isinstance(value, list) else value
        setattr(copied, name, clone(whole) if isinstance(whole, ast.AST) else whole)
    return ast.copy_location(copied, node)


def parameters(function: Function) -> list[ast.arg]:
    """All parameters of a function."""
    a = function.args
    found = [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
    return [argument for argument in found if argument is not None]


def local_names(function: Function) -> frozenset[str]:
    """Names that are local to a function."""
    body = function.body if isinstance(function.body, list) else [ast.Expr(function.body)]
    declared = {name for node in _own(body) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    return frozenset({argument.arg for argument in parameters(function)} | (set(bound_names(body)) - declared))


def bound_names(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that statements bind in their own scope."""
    for node in _own(body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _own(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Nodes of statements without those of scopes inside them; of a comprehension only what ``:=`` binds."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, Comprehension):
            yield from (inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
            continue
        yield from _own(list(ast.iter_child_nodes(node)))
