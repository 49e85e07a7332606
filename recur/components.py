"""Named parts of a recipe: a component is a module of a package, its recipe name is the file's name.

A new block, skip, optimizer, quantizer or evaluator is a new file in its package and its name in the recipe; no
existing file is edited and no registry is kept. Only names are accepted, never paths or dotted names, so a recipe from a
request cannot import anything but our own modules.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

from recur.errors import RecipeError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def available(package: str) -> list[str]:
    """Names of the components in ``package`` (a dotted package of ours), sorted. Imports nothing."""
    loaded = sys.modules.get(package)
    folders = loaded.__path__ if loaded else [str(Path(__file__).parent.joinpath(*package.split(".")[1:]))]
    return sorted(m.name for m in pkgutil.iter_modules(folders) if _NAME.fullmatch(m.name))


def check_component(package: str, name: str) -> None:
    """Refuse a name that no module of ``package`` has; imports nothing.

    Raises:
        RecipeError: no such component; the message lists those that exist.
    """
    if name not in available(package):
        kind = package.removeprefix("recur.")
        raise RecipeError(f"{kind}={name!r}", "is not a known component", f"choose one of {', '.join(available(package))}")


def component(package: str, name: str) -> ModuleType:
    """The module ``package.name``; errors as `check_component`."""
    check_component(package, name)
    return importlib.import_module(f"{package}.{name}")
