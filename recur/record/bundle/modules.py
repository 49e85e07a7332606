"""The package's modules as syntax trees, and what each top-level name of a module stands for.

A name is a definition of ours (followed through imports to the module that makes it), one of our modules, or something
imported from elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "recur"
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Definition:
    """A top-level definition of ours: its module and its name there."""

    module: str
    name: str


@dataclass(frozen=True)
class OurModule:
    """One of our modules under a name."""

    module: str


@dataclass(frozen=True)
class Foreign:
    """Something imported from elsewhere: ``import module`` (name "") or ``from module import name``.

    ``binds`` is the name that the import makes; for ``import a.b`` it is ``a``.
    """

    module: str
    name: str
    binds: str


Meaning = Definition | OurModule | Foreign


@dataclass(kw_only=True)
class Module:
    """One parsed module.

    Attributes:
        name: dotted.
        statements: top-level statements by the name that they define, in order.
        meanings: what its other top-level names stand for.
    """

    name: str
    statements: dict[str, ast.stmt] = field(default_factory=dict)
    meanings: dict[str, list[Meaning]] = field(default_factory=dict)


Prepare = Callable[[Module, ast.stmt], ast.stmt | None]
"""Changes a top-level statement of a module before anything else sees it; None drops it."""


class Modules:
    """Our modules, parsed when they are asked for.

    Args:
        prepare: applied to every statement.
        overrides: source that stands in for definitions, by module and name; it may define further names.
    """

    def __init__(self, prepare: Prepare, overrides: Mapping[Definition, str]) -> None:
        self._prepare, self._overrides = prepare, overrides
        self._known: dict[str, Module] = {}

    def __getitem__(self, name: str) -> Module:
        if name not in self._known:
            module = self._known[name] = _parse(name)
            for definition, source in self._overrides.items():
                if definition.module == name:
                    _define(module, ast.parse(source).body)
            prepared: dict[int, ast.stmt | None] = {}
            for defined, statement in list(module.statements.items()):
                if id(statement) not in prepared:
                    prepared[id(statement)] = self._prepare(module, statement)
                ready = prepared[id(statement)]
                if ready is None:
                    del module.statements[defined]
                else:
                    module.statements[defined] = ready
        return self._known[name]

    def resolve(self, module: str, name: str) -> list[Meaning]:
        """What a top-level name of a module stands for, followed through our own imports; empty for a builtin.

        Several meanings only for ``import a.b`` beside ``import a.c``, which bind one name.
        """
        found = self[module]
        if name in found.statements:
            return [Definition(module, name)]
        meanings = found.meanings.get(name, [])
        if len(meanings) == 1 and isinstance(meanings[0], Definition):
            target = meanings[0]
            if exists(f"{target.module}.{target.name}") and target.name not in self[target.module].statements:
                return [OurModule(f"{target.module}.{target.name}")]
            return self.resolve(target.module, target.name)
        return meanings


def exists(module: str) -> bool:
    """Whether there is such a module of ours."""
    return _path(module) is not None


def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _parse(name: str) -> Module:
    path = _path(name)
    if path is None:
        raise ValueError(f"{name} is no module of ours")
    module = Module(name=name)
    _define(module, ast.parse(path.read_text(encoding="utf-8")).body)
    return module


def _define(module: Module, body: Sequence[ast.stmt]) -> None:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for bound, meaning in _imports(statement):
                module.meanings.setdefault(bound, []).append(meaning)
        else:
            for defined in defined_names(statement):
                module.statements[defined] = statement


def _imports(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Meaning]]:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            source, bound = str(statement.module), alias.asname or alias.name
            ours = source.split(".")[0] == PACKAGE
            yield bound, Definition(source, alias.name) if ours else Foreign(source, alias.name, bound)
        else:
            bound = alias.asname or alias.name.split(".")[0]
            ours = alias.name.split(".")[0] == PACKAGE
            yield bound, OurModule(alias.name) if ours else Foreign(alias.name, "", bound)


def defined_names(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement defines; none for an expression."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.AnnAssign):
        return [n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)]
    if isinstance(statement, ast.Assign):
        return [n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return []
