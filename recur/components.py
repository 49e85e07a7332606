"""Named parts of a recipe: a component is a module of a package, its recipe name is the file's name.

A new block, skip, optimizer, quantizer or evaluator is a new file in its package and its name in the recipe; no
existing file is edited and no registry is kept. Only names are accepted, never paths or dotted names, so a recipe from a
request cannot import anything but our own modules.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

from recur.errors import RecipeError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def available(package: str) -> list[str]:
    """Names of the components in ``package`` (a dotted package of ours), sorted."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(m.name for m in found if _NAME.fullmatch(m.name))


def component(package: str, name: str) -> ModuleType:
    """The module ``package.name``.

    Raises:
        RecipeError: no such component; the message lists those that exist.
    """
    if name not in available(package):
        kind = package.removeprefix("recur.")
        raise RecipeError(f"{kind}={name!r}", "is not a known component", f"choose one of {', '.join(available(package))}")
    return importlib.import_module(f"{package}.{name}")
