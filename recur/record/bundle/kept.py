"""Scripts that were made before, in the user's cache folder: making one takes many seconds of CPU time.

The name of a file is the hash of all that its bytes depend on: recipe, source of the package, Python, brotli, minifier.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from recur.config import Recipe
from recur.errors import StorageError
from recur.recipe import recipe_to_json, source_sha256
from recur.record.atomic import read_sealed, write_sealed

_log = logging.getLogger(__name__)


def kept(recipe: Recipe, make: Callable[[], bytes]) -> bytes:
    """The script of a recipe: found, or made and left for the next time. A folder that cannot be used costs time, no more."""
    path = _folder() / f"{_key(recipe)}.py"
    found = read_sealed(path)
    if found is not None:
        return found
    source = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, source)
    except (OSError, StorageError) as error:
        _log.info("event=bundle_not_kept path=%s error=%s", path, error)
    return source


def _folder() -> Path:
    return Path.home() / ".cache" / "recur" / "bundles"


def _key(recipe: Recipe) -> str:
    tools = (sys.version, version("brotli"), version("python-minifier"))
    return hashlib.sha256("\0".join((recipe_to_json(recipe), source_sha256(), *tools)).encode()).hexdigest()
