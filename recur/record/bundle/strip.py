"""What a program does not need to run: documentation, annotations, casts, assertions, and the wording of errors.

An error keeps its class and the first words of its text; those about what a user gives keep all of it.
"""

from __future__ import annotations

import ast
from typing import Any

from recur.record.bundle.scopes import parameters


def strip(statement: ast.stmt, errors: dict[str, ast.expr | None], *, wording: bool) -> ast.stmt:
    """Strip one top-level statement, in place where possible.

    Args:
        statement: of a module of ours.
        errors: names, as that module knows them, of error classes and of functions that only make one; see `_Strip`.
        wording: whether errors keep all of their text (as one argument).
    """
    stripped: ast.stmt = _Strip(errors, wording=wording).visit(statement)
    return ast.fix_missing_locations(stripped)


def without_annotations(statement: ast.stmt) -> ast.stmt:
    """Annotations and casts alone removed; documentation and wording stay (for the readable program)."""
    plain: ast.stmt = _Annotations().visit(statement)
    return ast.fix_missing_locations(plain)


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is made by ``@dataclass`` or ``@dataclass(...)``."""
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(isinstance(d, ast.Name) and d.id == "dataclass" for d in decorators)


_REFUSALS = ("ArtifactError", "RecipeError")
"""Errors whose conditions the program does not ask for: damage is told by the container's checksum."""
_MOST_WORDS = 5
_ASKED = {"crc32", "startswith", "unknown"}
"""In conditions that stay: the checksum, whether a file is a container at all, and whether it has the model's parameters."""
_SIZED = ("BudgetUnreachable",)
"""Errors that begin with a number to keep."""
UNWORDED = ("ArtifactError",)
"""Errors that keep no text; the program has one for all of them."""


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
    def __init__(self, errors: dict[str, ast.expr | None], *, wording: bool) -> None:
        super().__init__()
        self._errors, self._wording = errors, wording

    def _words(self, parts: list[ast.expr], *, sized: bool) -> ast.expr:
        """What is left of an error's arguments."""
        if self._wording:
            return joined(parts)
        return first_words(parts[0], sized=sized)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant)
        return None if is_text or _is_logging(node.value) else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        """``zip(strict=...)`` asserts what holds; help texts of the command line are documentation."""
        return None if node.arg in ("strict", "help", "description", "metavar") else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        """A refusal of what is damaged or contradicts the recipe is left out: the recipe was checked before."""
        self.generic_visit(node)
        *before, last = node.body
        refuses = isinstance(last, ast.Raise) and _refusal(last) and all(isinstance(s, ast.Assign) for s in before)
        refuses = refuses and not _ASKED & {getattr(n, "attr", getattr(n, "id", "")) for n in ast.walk(node.test)}
        if isinstance(last, ast.Raise):
            read = {n.id for n in ast.walk(last) if isinstance(n, ast.Name)}
            node.body = [s for s in before if not _only_for_the_text(s, read)] + [last]
        return (node.orelse or None) if refuses else node

    def visit_Raise(self, node: ast.Raise) -> Any:
        node.cause = None
        call = node.exc
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in self._errors:
            replacement = self._errors[call.func.id]
            if replacement is not None:
                return ast.Raise(replacement, None)
            silent = call.func.id in UNWORDED and not self._wording
            words = self._words(call.args, sized=call.func.id in _SIZED)
            call.args, call.keywords = [] if silent else [words], []
        return self.generic_visit(node)


def _only_for_the_text(statement: ast.stmt, read: set[str]) -> bool:
    """Whether a statement before a raise makes nothing but what the error's text held."""
    plain = isinstance(statement, ast.Assign) and all(isinstance(t, ast.Name) for t in statement.targets)
    return plain and not any(n.id in read for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name))  # type: ignore[attr-defined]


def joined(parts: list[ast.expr]) -> ast.expr:
    """Value, rule and remedy of an error as one text."""
    texts: list[ast.expr] = []
    for part, after in zip(parts, (" ", "; ", ""), strict=False):
        texts += part.values if isinstance(part, ast.JoinedStr) else [part if _is_text(part) else ast.FormattedValue(part, -1)]
        texts.append(ast.Constant(after if part is not parts[-1] else ""))
    return ast.JoinedStr(texts)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def first_words(value: ast.expr, *, sized: bool = False) -> ast.expr:
    """The first words of an error's first argument; ``sized`` also the value that stands before them."""
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    words = " ".join(" ".join(texts[:1]).split()[:_MOST_WORDS]).rstrip(" (:=")
    return ast.JoinedStr([parts[0], ast.Constant(" " + words)]) if sized else ast.Constant(words)


def _is_logging(node: ast.expr) -> bool:
    """A call of a module's logger."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id in ("_log", "logger")


def _refusal(node: ast.Raise) -> bool:
    return isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name) and node.exc.func.id in _REFUSALS
