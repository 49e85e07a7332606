"""Short names for a flat program: one for every name of ours, the same wherever it is used.

Two kinds. Shared names (definitions, methods, fields, and parameters that some call gives by keyword) are renamed alike in
the whole program. Local names are small letters in the order of their appearance in a function, so that functions look alike.
Left alone: what libraries know (`LIBRARY`, and keywords of calls to them), attributes of torch modules (keys of a state
dict), fields that are shown or filled by name, and attributes that a text names.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from recur.record.bundle.library import LIBRARY
from recur.record.bundle.names import (
    attribute_names,
    class_fields,
    class_level_names,
    imported,
    inner_imports,
    local_letters,
    short_names,
    stored_attributes,
    top_names,
)
from recur.record.bundle.scopes import local_names, parameters

_BY_TEXT = ("getattr", "hasattr", "setattr", "register_buffer", "register_parameter")
"""Calls that name an attribute by a text."""
_PASSING = ("replace", "partial", "SimpleNamespace")
"""Library functions whose keywords are names of ours."""
_FIXED = frozenset(dir(builtins)) | set(keyword.kwlist) | {"__file__", "_"}


def rename(tree: ast.Module) -> ast.Module:
    """The program with short names, in place."""
    program = Program(tree)
    for statement in tree.body:
        for unit in _units(statement):
            name = getattr(unit, "name", None)
            Renamer(_letters(unit, program.given), {}, {}).visit(unit)
            if isinstance(unit, ast.FunctionDef):
                unit.name = str(name)  # it belongs to the scope around
    program.renamer().visit(tree)
    return ast.fix_missing_locations(tree)


class Program:
    """Which names of a program are ours, and which must stay."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree, self.nodes = tree, list(ast.walk(tree))
        functions = [n for n in self.nodes if isinstance(n, ast.FunctionDef)]
        self.classes = [n for n in self.nodes if isinstance(n, ast.ClassDef)]
        self.tops = {name for statement in tree.body for name in top_names(statement)}
        self.imports = imported(tree)
        self.stored = {c.name: stored_attributes(c) for c in self.classes}
        self.methods = {s.name for c in self.classes for s in c.body if isinstance(s, ast.FunctionDef)}
        ours, self.kept = self._keywords()
        self.given = ours & {a.arg for f in functions for a in parameters(f)}
        self.theirs = self.kept | _FIXED | set(_named_by_text(tree))
        self.kept = self.theirs | LIBRARY

    def _keywords(self) -> tuple[set[str], set[str]]:
        """Keywords that may name parameters of ours, and keywords that libraries may be given; some are both."""
        ours: set[str] = set()
        theirs: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.Call):
                words = {k.arg for k in node.keywords if k.arg}
                by_ours, by_theirs = self._callees(node.func)
                ours |= words if by_ours else set()
                theirs |= words if by_theirs else set()
        return ours, theirs

    def _callees(self, function: ast.expr) -> tuple[bool, bool]:
        """Whether a call may go to something of ours, and whether to a library."""
        if isinstance(function, ast.Name) and function.id in _PASSING:
            return function.id != "SimpleNamespace", False  # the names of parts are attributes
        if isinstance(function, ast.Name):
            ours = not (function.id in self.imports or function.id in dir(builtins))
            return ours, not ours
        if not isinstance(function, ast.Attribute):
            return True, True
        ours = function.attr in self.methods | self._parts | self._values
        return ours, not ours or function.attr in LIBRARY

    @cached_property
    def _values(self) -> set[str]:
        """Attributes that may hold functions: fields, and what is set on self."""
        return {name for c in self.classes for name in class_fields(c) | self.stored[c.name]}

    @cached_property
    def _parts(self) -> set[str]:
        """Names of the parts of components."""
        made = [
            n for n in self.nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "SimpleNamespace"
        ]
        return {k.arg for n in made for k in n.keywords if k.arg}

    def renamer(self) -> Renamer:
        """What gives the shared names, shorter ones to those that are used more."""
        attributes, keywords = self.methods | self._parts, self.given | self._parts
        for node in self.classes:
            fields, stored = class_fields(node), self.stored[node.name]
            self.kept |= fields if self._is_filled(node) else set()
            self.kept |= stored if _is_torch_module(node) else set()
            attributes |= fields | stored | {name for s in node.body if isinstance(s, ast.Assign) for name in top_names(s)}
            keywords |= fields
        fields = {name for node in self.classes for name in class_fields(node)} | self._parts
        attributes = _renamed(attributes - self.kept)
        keywords = _renamed((keywords & fields & attributes) | (keywords - fields - self.theirs))
        variables = _renamed((self.tops | self.imports) - _FIXED) | (keywords & self.given)
        counts = Counter(name for node in self.nodes for name in identifiers(node))
        taken = {*counts} | self.kept
        dotted = {n.attr for n in self.nodes if isinstance(n, ast.Attribute)} | self.kept
        variable = _shortened(variables, counts, short_names(), taken)
        both = {name: variable[name] for name in attributes & variables}
        seen = {variable.get(name, name) for node in self.classes for name in class_level_names(node)}
        attribute = both | _shortened(attributes - variables, counts, attribute_names(), dotted | seen | {*both.values()})
        word = {name: attribute.get(name) or variable[name] for name in keywords}
        return Renamer(variable, attribute, word)

    def _is_filled(self, node: ast.ClassDef) -> bool:
        """Whether a dataclass is made from, or shown as, a mapping by the names of its fields."""
        filled = any(
            isinstance(n, ast.Call)
            and isinstance(n.func, ast.Name)
            and n.func.id == node.name
            and any(k.arg is None for k in n.keywords)
            for n in self.nodes
        )
        return filled or node.name.endswith("Config") or node.name == "Recipe"


def _named_by_text(tree: ast.Module) -> Iterator[str]:
    """Texts that name attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _BY_TEXT:
                yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant))


def _units(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Functions, methods and other statements whose local names are renamed together."""
    if isinstance(statement, ast.ClassDef):
        for inner in statement.body:
            yield from _units(inner)
    else:
        yield statement


def _letters(unit: ast.AST, given: set[str]) -> dict[str, str]:
    """New names of the local names of a unit, in the order of their appearance."""
    own: set[str] = set()
    for node in ast.walk(unit):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            own |= local_names(node) - {a.asname or a.name.split(".")[0] for a in inner_imports(node)}
        elif isinstance(node, ast.comprehension):
            own |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
    by_keyword = {a.arg for f in ast.walk(unit) if isinstance(f, ast.FunctionDef) for a in parameters(f)} & given
    order: dict[str, None] = {}
    for name in _in_order(unit):
        if name in own - by_keyword and not name.startswith("__"):
            order.setdefault(name)
    others = set(_in_order(unit)) - set(order)
    return dict(zip(order, (name for name in local_letters() if name not in others), strict=False))


def _in_order(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif (isinstance(node, ast.ExceptHandler) and node.name) or isinstance(node, ast.FunctionDef):
        yield str(node.name)
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


class Renamer(ast.NodeTransformer):
    """Apply new names, which differ by where a name stands.

    Args:
        variables: of variables, functions, classes, parameters and imports.
        attributes: of attributes, methods and what else a class body defines.
        keywords: of keywords in calls.
    """

    def __init__(self, variables: dict[str, str], attributes: dict[str, str], keywords: dict[str, str]) -> None:
        self._by_field = {
            (ast.Name, "id"): variables,
            (ast.arg, "arg"): variables,
            (ast.ExceptHandler, "name"): variables,
            (ast.Nonlocal, "names"): variables,
            (ast.Global, "names"): variables,
            (ast.FunctionDef, "name"): variables,
            (ast.ClassDef, "name"): variables,
            (ast.alias, "asname"): variables,
            (ast.Attribute, "attr"): attributes,
            (ast.keyword, "arg"): keywords,
        }
        self._variables, self.attributes = variables, attributes

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Rename in any node."""
        if isinstance(node, ast.alias) and not node.asname and node.name in self._variables:
            node.asname = node.name
        for field in node._fields:
            names = self._by_field.get((type(node), field))
            value = getattr(node, field)
            if names and isinstance(value, list):
                setattr(node, field, [names.get(name, name) for name in value])
            elif names:
                setattr(node, field, names.get(value, value))
        return super().generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class body's own names are attributes."""
        node.name = self._variables.get(node.name, node.name)
        node.bases, node.keywords = [self.visit(b) for b in node.bases], [self.visit(k) for k in node.keywords]
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                name = self.attributes.get(statement.name, statement.name)
                self.generic_visit(statement)
                statement.name = name
                continue
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
            names = [n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            own = [self.attributes.get(n.id, n.id) for n in names]
            self.visit(statement)
            for name_node, new in zip(names, own, strict=True):
                name_node.id = new
        return node


_FIELDS: dict[type, tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.arg: ("arg",),
    ast.Attribute: ("attr",),
    ast.keyword: ("arg",),
    ast.FunctionDef: ("name",),
    ast.ClassDef: ("name",),
}


def _renamed(names: set[str]) -> set[str]:
    """Those that are not special."""
    return {name for name in names if not (name.startswith("__") and name.endswith("__"))}


def identifiers(node: ast.AST) -> Iterator[str]:
    """Names in one node itself."""
    values = (getattr(node, field) for field in _FIELDS.get(type(node), ()))
    yield from (str(value) for value in values if value)


def _is_torch_module(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Attribute) and base.attr in ("Module", "Linear") for base in node.bases)


def _shortened(names: set[str], counts: Counter[str], short: Iterator[str], taken: set[str]) -> dict[str, str]:
    """The shortest free names for those that are used most."""
    ordered = sorted(names, key=lambda name: (-counts[name], name))
    return dict(zip(ordered, (name for name in short if name not in taken), strict=False))
