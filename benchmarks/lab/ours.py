"""Our side: weights prepared once per rule, then solved for any cap."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from benchmarks.lab.checkpoint import Checkpoint
from benchmarks.lab.faithful import Candidate
from recur.artifact.container import read_container
from recur.config import ArtifactConfig
from recur.pipeline.backend import LocalBackend
from recur.pipeline.fitting.solve import fit
from recur.pipeline.gridding import prepare_item, prepare_items, save_index
from recur.pipeline.work import Work
from recur.recipe import override

T = TypeVar("T")
R = TypeVar("R")

READ_LIMIT_BYTES = 1 << 30


class Ours:
    """Our quantizer on one checkpoint with one set of quantize settings.

    Args:
        checkpoint: weights and calibration.
        settings: overrides such as ``quantize.slope_exponent=0.5``.
    """

    def __init__(self, checkpoint: Checkpoint, settings: Sequence[str] = ()) -> None:
        self.checkpoint = checkpoint
        self.recipe = override(checkpoint.recipe, settings)
        self._folder = tempfile.TemporaryDirectory(prefix="recur-bench-")
        started = time.perf_counter()
        items = prepare_items(checkpoint.trained, self.recipe, self.folder)
        save_index(checkpoint.trained, [prepare_item(item) for item in items], self.recipe.quantize, self.folder)
        self.prepare_s = time.perf_counter() - started

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def fitted(self, name: str, cap_bytes: int, code_bytes: int) -> Candidate:
        """The container that fills a cap, read back."""
        artifact = ArtifactConfig(cap_bytes=cap_bytes, code_bytes=code_bytes, fit="solve")
        recipe = replace(self.recipe, artifact=artifact)
        started = time.perf_counter()
        result = fit(Work(folder=self.folder, recipe=recipe, seed=0, map=in_place, say=lambda kind, fields: None))
        if result.unreachable is not None:
            raise RuntimeError(result.unreachable)
        model = read_container(result.blob, max_bytes=READ_LIMIT_BYTES)
        notes = {"fit_s": time.perf_counter() - started, **result.fields}
        total_bytes = len(result.blob) + code_bytes
        return Candidate(name=name, side="ours", model=model, total_bytes=total_bytes, cap_bytes=cap_bytes, notes=notes)


def in_place(fn: Callable[[T], R], items: Sequence[T], names: Sequence[str]) -> list[R]:
    """`recur.pipeline.work.Mapper` in this process."""
    return LocalBackend().map(fn, items, names=names, progress=lambda done: None)
