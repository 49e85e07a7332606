"""Which names a flat program defines, and the short names that are at hand for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from recur.record.bundle.strip import is_dataclass


def imported(tree: ast.Module) -> set[str]:
    """Names that top-level imports bind and that can be renamed by ``as``."""
    aliases = [a for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names]
    dotted = {a.name.split(".")[0] for a in aliases if "." in a.name and not a.asname}
    local = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) for a in inner_imports(n)}
    return {a.asname or a.name for a in aliases if "." not in (a.asname or a.name)} - dotted - local


def inner_imports(function: ast.AST) -> list[ast.alias]:
    return [a for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]


def top_names(statement: ast.stmt) -> list[str]:
    """Names that a definition or assignment makes."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def class_fields(node: ast.ClassDef) -> set[str]:
    """Fields of a dataclass."""
    if not is_dataclass(node):
        return set()
    return {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}


def class_level_names(node: ast.ClassDef) -> set[str]:
    """Names that a class body itself reads: an attribute of that name would hide them there."""
    read: list[ast.AST] = []
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            defaults = [d for d in (*statement.args.defaults, *statement.args.kw_defaults) if d is not None]
            read += [*statement.decorator_list, *defaults]
        else:
            read.append(statement)
    return {n.id for part in read for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def stored_attributes(node: ast.ClassDef) -> set[str]:
    """Attributes that a class's methods set on ``self``."""
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
    return {n.attr for n in stored if isinstance(n.value, ast.Name) and n.value.id == "self"}


def attribute_names() -> Iterator[str]:
    """Names after a dot, which no variable can be mistaken for."""
    yield from ascii_letters
    yield from (a + b for a in ascii_letters for b in ascii_letters + digits)


def short_names() -> Iterator[str]:
    """Shared names: capitals, then two characters; a single small letter is always local."""
    yield from ascii_uppercase
    yield from (a + b for a in ascii_letters for b in ascii_letters + digits)


def local_letters() -> Iterator[str]:
    yield from ascii_lowercase
    yield from ("_" + b for b in ascii_letters)
