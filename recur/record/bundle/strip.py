"""What a program does not need to run: documentation, annotations, casts, assertions, and the wording of errors.

An error keeps its class and, where there is one, its first argument (the value that is wrong).
"""

from __future__ import annotations

import ast
from typing import Any

from recur.record.bundle.scopes import parameters


def strip(statement: ast.stmt, errors: dict[str, ast.expr | None]) -> ast.stmt:
    """Strip one top-level statement, in place where possible.

    Args:
        statement: of a module of ours.
        errors: names, as that module knows them, of error classes and of functions that only make one; see `_Strip`.
    """
    stripped: ast.stmt = _Strip(errors).visit(statement)
    return ast.fix_missing_locations(stripped)


def without_annotations(statement: ast.stmt) -> ast.stmt:
    """Annotations and casts alone removed; documentation and wording stay (for the readable program)."""
    plain: ast.stmt = _Annotations().visit(statement)
    return ast.fix_missing_locations(plain)


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is made by ``@dataclass`` or ``@dataclass(...)``."""
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(isinstance(d, ast.Name) and d.id == "dataclass" for d in decorators)


class _Annotations(ast.NodeTransformer):
    """Annotations gone; the fields of a dataclass keep a 0 in their place."""

    def __init__(self) -> None:
        self._fields: list[bool] = [False]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._fields.append(is_dataclass(node))
        self.generic_visit(node)
        self._fields.pop()
        node.body = node.body or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for argument in parameters(node):
            argument.annotation = None
        node.returns = None
        self._fields.append(False)
        self.generic_visit(node)
        self._fields.pop()
        node.body = node.body or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if "ClassVar" in ast.unparse(node.annotation):
            return None
        node.value = node.value and self.visit(node.value)
        if self._fields[-1]:
            node.annotation = ast.Constant(0)
            return node
        return ast.Assign([node.target], node.value) if node.value is not None else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        is_cast = isinstance(node.func, ast.Name) and node.func.id == "cast"
        return node.args[1] if is_cast else node


class _Strip(_Annotations):
    def __init__(self, errors: dict[str, ast.expr | None]) -> None:
        super().__init__()
        self._errors = errors

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_Raise(self, node: ast.Raise) -> Any:
        node.cause = None
        call = node.exc
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in self._errors:
            replacement = self._errors[call.func.id]
            if replacement is not None:
                return ast.Raise(replacement, None)
            call.args, call.keywords = call.args[:1], []
        return self.generic_visit(node)
