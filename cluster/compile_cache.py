"""Compiled graphs that travel: what torch has compiled for one seed is at hand for the next, on whatever node it runs.

torch keeps its own cache in a folder of the node; this file beside the sweeps (`--out`) brings the graphs and GPU kernels to
nodes that have never run the recipe (PERFORMANCE F). Whoever may write there may run code here, as with every result folder.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from recur.config import Recipe
from recur.errors import StorageError
from recur.pipeline.backend import device_name
from recur.recipe import recipe_to_json, source_sha256
from recur.record.atomic import read_sealed, write_sealed

_log = logging.getLogger(__name__)
FOLDER = "compile_cache"


def cache_file(out: Path, recipe: Recipe, device: torch.device) -> Path:
    """The file for this recipe, program, torch and kind of device."""
    parts = (torch.__version__, device_name(device), recipe_to_json(recipe), source_sha256())
    return out / FOLDER / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.bin"


@contextmanager
def travelling_graphs(out: Path, recipe: Recipe, device: torch.device, *, leave: bool) -> Iterator[None]:
    """Load what an earlier seed has left before training; afterwards leave it for the next, if ``leave`` and there is none.

    A file that cannot be read or written costs the time of compiling and no more.
    """
    if not recipe.train.compile:
        yield
        return
    path = cache_file(out, recipe, device)
    found = _load(path)
    yield
    artifacts = torch.compiler.save_cache_artifacts() if leave and not found else None
    if artifacts is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, artifacts[0])
    except (OSError, StorageError) as error:
        _log.warning("event=compile_cache_not_left path=%s error=%s", path, error)


def _load(path: Path) -> bool:
    artifacts = read_sealed(path)
    try:
        found = artifacts is not None and torch.compiler.load_cache_artifacts(artifacts) is not None
    except OSError as error:  # torch writes them into its own folder
        _log.warning("event=compile_cache_not_loaded path=%s error=%s", path, error)
        return False
    _log.info("event=compile_cache path=%s loaded=%s", path, found)
    return found
