"""What a conformance group is made of: vectors in, cases out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Skip(Exception):
    """A group that cannot be checked here; the text says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where the text and the tokenizers lie, if anywhere."""

    tokenizers: Path | None = None
    docs: Path | None = None


@dataclass(frozen=True)
class Case:
    """One comparison; it holds when ``error <= tolerance``."""

    name: str
    error: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """Error in units of the tolerance; an exact comparison (tolerance 0) gives 0 or infinity."""
        if self.error != self.error:
            return float("inf")
        if self.tolerance == 0:
            return 0.0 if self.error == 0 else float("inf")
        return self.error / self.tolerance


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """One group: its arrays (float16 inputs widened), its JSON, and where it lies."""

    arrays: dict[str, Array]
    info: dict[str, Any]
    folder: Path
    stem: str

    def below(self, prefix: str) -> dict[str, Array]:
        """The arrays whose key starts with ``prefix``, without it."""
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}


def _keeps_float16(key: str) -> bool:
    groups = ("int6/", "int8/", "gptq/", "dequantize/", "in/", "after_")
    return key.startswith(groups) and (key.endswith(("scale", "q_gain")) or "fp16" in key)


def load_vectors(json_file: Path) -> Vectors:
    """Read ``<stem>.json`` and, beside it, ``<stem>.npz`` if there is one."""
    stem = json_file.name.removesuffix(".json")
    arrays: dict[str, Array] = {}
    npz = json_file.with_suffix(".npz")
    if npz.exists():
        with np.load(npz) as data:
            for key in data.files:
                a = data[key]
                arrays[key] = a.astype(np.float32) if a.dtype == np.float16 and not _keeps_float16(key) else a
    return Vectors(arrays=arrays, info=json.loads(json_file.read_text()), folder=json_file.parent, stem=stem)


def exact(name: str, mine: object, golden: object) -> Case:
    """An exact comparison of scalars, lists or arrays: the number of differing values, tolerance 0."""
    a, b = np.asarray(mine), np.asarray(golden)
    if a.shape != b.shape:
        return Case(f"{name} shape {a.shape} != {b.shape}", float("inf"), 0.0)
    return Case(name, float(np.count_nonzero(a != b)), 0.0)


def within(name: str, mine: object, golden: object, *, absolute: float = 0.0, relative_to_max: float = 0.0) -> Case:
    """Largest absolute deviation against ``absolute + relative_to_max * max|golden|``."""
    a, b = np.asarray(mine, np.float64), np.asarray(golden, np.float64)
    if a.shape != b.shape:
        return Case(f"{name} shape {a.shape} != {b.shape}", float("inf"), absolute)
    if not b.size:
        return Case(name, 0.0, absolute)
    return Case(name, float(np.abs(a - b).max()), absolute + relative_to_max * float(np.abs(b).max()))


def rel_l2(name: str, mine: object, golden: object, tolerance: float) -> Case:
    """Relative L2 distance."""
    a, b = np.asarray(mine, np.float64), np.asarray(golden, np.float64)
    if a.shape != b.shape:
        return Case(f"{name} shape {a.shape} != {b.shape}", float("inf"), tolerance)
    return Case(name, float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-30)), tolerance)
