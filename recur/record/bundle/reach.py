"""Which definitions a program needs: from its entry, through the names it uses, down to single methods.

A method (or property, or class attribute without effect) is needed when its name is used as an attribute anywhere in what is
needed; special methods and those that libraries call always are. A component's parts are needed in the same way.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from recur.record.bundle.modules import Definition, Foreign, Meaning, Modules, OurModule
from recur.record.bundle.scopes import Globals

CALLED_BY_LIBRARIES = frozenset({"forward", "error"})
"""Methods that torch and argparse call."""

NEVER = {("Calibration", "__add__"), ("HessianSum", "__add__"), ("MomentSum", "__add__"), ("CodeBlock", "__post_init__")}
"""Special methods that one program never comes to: sums of shares, and a check of what it makes itself."""


@dataclass(kw_only=True)
class Uses:
    """What a piece of code refers to: definitions, imports, and every attribute name and string in it."""

    definitions: list[Definition] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)


def uses(modules: Modules, module: str, node: ast.AST) -> Uses:
    """What ``node``, a top-level statement of ``module`` or a part of one, refers to."""
    found = Uses()

    def meet(meanings: list[Meaning]) -> None:
        for meaning in meanings:
            if isinstance(meaning, Definition):
                found.definitions.append(meaning)
            elif isinstance(meaning, Foreign):
                found.foreign.append(meaning)

    def name(text: str) -> None:
        meet(modules.resolve(module, text))

    def attribute(base: str, attr: str) -> None:
        for meaning in modules.resolve(module, base):
            if isinstance(meaning, OurModule):
                meet(modules.resolve(meaning.module, attr))

    Globals(name, attribute).visit(node)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute):
            found.attributes.add(inner.attr)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            found.strings.add(inner.value)
    return found


def members(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Methods and properties of a class that may be left out."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and ((node.name, statement.name) in NEVER or not _always(statement.name)):
            yield statement


def _in_class(member: ast.FunctionDef) -> ast.ClassDef:
    """A class of one method, so that the method's name is not taken for a global one."""
    return ast.ClassDef(name="", bases=[], keywords=[], body=[member], decorator_list=[])


def _always(name: str) -> bool:
    return (name.startswith("__") and name.endswith("__")) or name in CALLED_BY_LIBRARIES


@dataclass(kw_only=True)
class Needed:
    """What a program needs.

    Attributes:
        definitions: in the order of discovery.
        foreign: imports.
        attributes: every attribute name and string that is used: what may be asked of an object.
    """

    definitions: dict[Definition, None] = field(default_factory=dict)
    foreign: dict[Foreign, None] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)


class Reach:
    """The search; ``parts`` gives for a string the component parts ``(name, definition)`` that it makes reachable."""

    def __init__(self, modules: Modules, parts: Callable[[str], list[Definition]]) -> None:
        self._modules, self._parts = modules, parts
        self.needed = Needed()
        self._waiting: list[tuple[str, str, ast.FunctionDef]] = []
        self._components: list[Definition] = []

    def add(self, definition: Definition) -> None:
        """Need a definition and all that follows from it."""
        if definition in self.needed.definitions:
            return
        self.needed.definitions[definition] = None
        statement = self._modules[definition.module].statements[definition.name]
        if isinstance(statement, ast.ClassDef):
            optional = list(members(statement))
            self._waiting += [(member.name, definition.module, member) for member in optional]
            core = ast.ClassDef(**{f: getattr(statement, f) for f in statement._fields})
            core.body = [s for s in statement.body if s not in optional]
            self._take(uses(self._modules, definition.module, core))
        else:
            self._take(uses(self._modules, definition.module, statement))

    def _take(self, found: Uses) -> None:
        self.needed.attributes |= found.attributes
        for text in found.strings - self.needed.strings:
            self.needed.strings.add(text)
            self._components += self._parts(text)
        for foreign in found.foreign:
            self.needed.foreign[foreign] = None
        for definition in found.definitions:
            self.add(definition)

    def close(self) -> Needed:
        """Take members and component parts whose names are used until nothing more follows."""
        while True:
            ready = [one for one in self._waiting if self._asked(one[0])]
            parts = [part for part in self._components if self._asked(part.name)]
            if not ready and not parts:
                return self.needed
            self._waiting = [one for one in self._waiting if one not in ready]
            self._components = [part for part in self._components if part not in parts]
            for _, module, member in ready:
                self._take(uses(self._modules, module, _in_class(member)))
            for part in parts:
                self.add(part)

    def _asked(self, name: str) -> bool:
        return name in self.needed.attributes or name in self.needed.strings
