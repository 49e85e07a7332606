"""A whole program as one module: every definition that an entry needs, under one namespace, in an order that runs.

Names keep their spelling unless two definitions, an import or any local variable share it; then the module's name is added.
Components (`recur.components`) become a table of those that the recipe names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recur.record.bundle.fold import fold
from recur.record.bundle.modules import Definition, Foreign, Module, Modules, OurModule
from recur.record.bundle.overrides import COMPONENTS, OVERRIDES, REFUSED, SHORT
from recur.record.bundle.reach import CALLED_BY_LIBRARIES, Needed, Reach, members, uses
from recur.record.bundle.scopes import Globals, clone, local_names
from recur.record.bundle.strip import UNWORDED, first_words, strip, without_annotations

ERRORS = "recur.errors"
WORDED = ("recur.single.program",)
"""Modules whose errors keep their wording: they are about what a user gives."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How much is left of the source: ``readable`` keeps documentation and the wording of errors; ``fit`` is the recipe's,
    ``values`` what `fold` puts in place."""

    readable: bool
    fit: str
    values: dict[str, Any] = field(default_factory=dict)


def flatten(entries: Sequence[Definition], chosen: Mapping[str, Sequence[str]], style: Style) -> ast.Module:
    """The program that has some definitions, and all they need.

    Args:
        entries: they keep their names.
        chosen: the components that the program has, by package.
        style: see `Style`.

    Returns:
        A module without any effect but its definitions.
    """
    overrides = OVERRIDES | REFUSED[style.fit] | ({} if style.readable else SHORT)
    modules = Modules(lambda module, statement: _prepared(module, statement, style), overrides)
    reach = Reach(modules, lambda text: _parts(modules, chosen, text))
    for entry in entries:
        reach.add(entry)
    needed = reach.close()
    return _Writer(modules, needed, chosen, entries, style).module()


def _prepared(module: Module, statement: ast.stmt, style: Style) -> ast.stmt | None:
    if style.readable:
        return without_annotations(statement)
    return fold(strip(statement, _error_names(module), wording=module.name in WORDED), style.values)


def _error_names(module: Module) -> dict[str, ast.expr | None]:
    """Names in a module of our error classes, and of functions of it that only make one (with what they make)."""
    names: dict[str, ast.expr | None] = {}
    for name, meanings in module.meanings.items():
        if any(isinstance(m, Definition) and m.module == ERRORS for m in meanings):
            names[name] = None
    for name, statement in module.statements.items():
        made = _made_error(statement)
        if made is not None:
            names[name] = made
    return names


def _made_error(statement: ast.stmt) -> ast.expr | None:
    """What a function makes that only makes an error: the error with the constant part of its first argument."""
    if not isinstance(statement, ast.FunctionDef) or not isinstance(statement.returns, ast.Name):
        return None
    last = statement.body[-1]
    if not statement.returns.id.endswith("Error") or not isinstance(last, ast.Return) or not isinstance(last.value, ast.Call):
        return None
    made = ast.Name(statement.returns.id, ast.Load())
    words: list[ast.expr] = [] if made.id in UNWORDED else [first_words(last.value.args[0])]
    return ast.Call(made, words, [])


def _parts(modules: Modules, chosen: Mapping[str, Sequence[str]], package: str) -> list[Definition]:
    names = chosen.get(package, ())
    return [Definition(f"{package}.{name}", part) for name in names for part in modules[f"{package}.{name}"].statements]


def is_config(node: ast.ClassDef) -> bool:
    """Whether a class is a branch of the recipe, or the recipe."""
    return node.name.endswith("Config") or node.name == "Recipe"


class _Writer:
    def __init__(
        self,
        modules: Modules,
        needed: Needed,
        chosen: Mapping[str, Sequence[str]],
        entries: Sequence[Definition],
        style: Style,
    ) -> None:
        self._modules, self._needed, self._chosen, self._entries = modules, needed, chosen, entries
        self._style = style
        self._bodies = {d: self._shaken(self._statement(d)) for d in needed.definitions}
        self._flat = self._flat_names()

    def module(self) -> ast.Module:
        """The whole program's tree."""
        body: list[ast.stmt] = [self._import(f, self._flat[f.binds, f.module, f.name]) for f in self._needed.foreign]
        written: set[int] = set()
        for definition in self._ordered():
            original = self._statement(definition)
            if id(original) in written:
                continue
            written.add(id(original))
            body.append(self._renamed(definition))
        return ast.fix_missing_locations(ast.Module(body, []))

    def _statement(self, definition: Definition) -> ast.stmt:
        if definition == COMPONENTS:
            return self._table
        return self._modules[definition.module].statements[definition.name]

    @property
    def _table(self) -> ast.stmt:
        return self._modules[COMPONENTS.module].statements[COMPONENTS.name]

    def _asked(self, name: str) -> bool:
        return name in self._needed.attributes or name in self._needed.strings

    def _shaken(self, statement: ast.stmt) -> ast.stmt:
        """A copy without the methods that nothing asks for."""
        if not isinstance(statement, ast.ClassDef):
            return clone(statement)
        gone: list[ast.stmt] = [m for m in members(statement) if not self._asked(m.name) and m.name not in CALLED_BY_LIBRARIES]
        if self._style.values and is_config(statement):
            gone += [f for f in statement.body if isinstance(f, ast.AnnAssign) and not self._asked(ast.unparse(f.target))]
        kept = [s for s in statement.body if s not in gone] or [ast.Pass()]
        shaken = clone(statement)
        shaken.body = [clone(s) for s in kept]
        return shaken

    def _flat_names(self) -> dict[object, str]:
        taken = {*(entry.name for entry in self._entries), *(name for body in self._bodies.values() for name in _locals(body))}
        flat: dict[object, str] = {entry: entry.name for entry in self._entries}
        for foreign in self._needed.foreign:
            key = (foreign.binds, foreign.module, foreign.name)
            bound = foreign.module.split(".")[0] if not foreign.name and foreign.binds in foreign.module.split(".") else ""
            flat[key] = bound or _free(foreign.binds, foreign.module, taken)
            taken.add(flat[key])
        for definition in self._needed.definitions:
            if definition not in flat:
                flat[definition] = _free(definition.name, definition.module, taken)
                taken.add(flat[definition])
        return flat

    def _ordered(self) -> list[Definition]:
        """Definitions such that what runs when one is made stands before it."""
        ordered: dict[Definition, None] = {}
        visiting: set[Definition] = set()

        def place(definition: Definition) -> None:
            if definition in ordered or definition in visiting:
                return
            visiting.add(definition)
            for dependency in self._before(definition):
                place(dependency)
            ordered[definition] = None

        for definition in sorted(self._needed.definitions, key=self._place_of):
            if definition != COMPONENTS:
                place(definition)
        return [*ordered, COMPONENTS] if COMPONENTS in self._needed.definitions else list(ordered)

    def _place_of(self, definition: Definition) -> tuple[str, int]:
        """Beside its neighbours in the package: what is alike compresses well together."""
        return definition.module, list(self._modules[definition.module].statements).index(definition.name)

    def _before(self, definition: Definition) -> Iterator[Definition]:
        statement = self._bodies[definition]
        runs = uses(self._modules, definition.module, _eager(statement)).definitions
        if not isinstance(statement, ast.Assign):
            yield from runs
            return
        seen: set[Definition] = set()
        while runs:  # a function that is called here needs what its body uses
            one = runs.pop()
            if one not in seen and one != definition:
                seen.add(one)
                yield one
                runs += uses(self._modules, one.module, clone(self._bodies[one])).definitions

    def _import(self, foreign: Foreign, name: str) -> ast.stmt:
        if foreign.name:
            return ast.ImportFrom(foreign.module, [ast.alias(foreign.name, None if name == foreign.name else name)], 0)
        plain = name == foreign.module.split(".")[0]
        return ast.Import([ast.alias(foreign.module, None if plain else name)])

    def _renamed(self, definition: Definition) -> ast.stmt:
        module = definition.module

        def name(text: str) -> str | None:
            return self._flat_of(module, text)

        def attribute(base: str, attr: str) -> str | None:
            for meaning in self._modules.resolve(module, base):
                if isinstance(meaning, OurModule):
                    return self._flat_of(meaning.module, attr)
            return None

        if definition == COMPONENTS:
            return self._components()
        renamed: ast.stmt = Globals(name, attribute).visit(self._bodies[definition])
        return renamed

    def _flat_of(self, module: str, name: str) -> str | None:
        for meaning in self._modules.resolve(module, name):
            if isinstance(meaning, Definition):
                return self._flat.get(meaning)
            if isinstance(meaning, Foreign):
                return self._flat.get((meaning.binds, meaning.module, meaning.name))
        return None

    def _components(self) -> ast.stmt:
        """The table: for every package the components by name, each with its parts."""
        packages = []
        for package, names in self._chosen.items():
            if package not in self._needed.strings:
                continue
            rows = []
            for name in names:
                parts = [d for d in _parts(self._modules, self._chosen, package) if d.module == f"{package}.{name}"]
                given = ", ".join(f"{d.name}={self._flat[d]}" for d in parts if d in self._flat and self._asked(d.name))
                rows.append(f"{name!r}: {self._flat_of(COMPONENTS.module, 'SimpleNamespace')}({given})")
            packages.append(f"{package!r}: {{{', '.join(rows)}}}")
        return ast.parse(f"{self._flat[COMPONENTS]} = {{{', '.join(packages)}}}").body[0]


def _eager(statement: ast.stmt) -> ast.AST:
    """A copy of what runs when a statement does: not the bodies of functions."""
    if isinstance(statement, ast.FunctionDef):
        arguments = clone(statement.args)
        return ast.FunctionDef(statement.name, arguments, [ast.Pass()], [clone(d) for d in statement.decorator_list], None)
    if isinstance(statement, ast.ClassDef):
        shell = clone(statement)
        shell.body = [_eager(s) if isinstance(s, ast.FunctionDef) else clone(s) for s in statement.body]  # type: ignore[misc]
        return shell
    return clone(statement)


def _locals(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from local_names(node)
        elif isinstance(node, ast.comprehension):
            yield from (n.id for n in ast.walk(node.target) if isinstance(n, ast.Name))


def _free(name: str, module: str, taken: set[str]) -> str:
    for part in ("", *(f"_{p}" for p in reversed(module.split(".")))):
        if name + part not in taken:
            return name + part
    return next(f"{name}_{k}" for k in range(len(taken) + 1) if f"{name}_{k}" not in taken)
