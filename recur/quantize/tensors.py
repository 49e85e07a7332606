"""Values that quantization hands on: one rounded tensor, and a whole model of them.

Source: REFERENCE 8.1 and 10 (entry names, metadata, order).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Meta = dict[str, str] | str
"""Metadata of one parameter: ``"passthrough"``, ``"passthrough_ctrl"`` or ``{"type": "int6" | "int8" | "grid", ...}``."""

CODES = ".q"
SCALE = ".scale"
STEP = ".step"
ROWS = ".rows"
COLS = ".cols"
PARTS = {"int6": (CODES, SCALE), "int8": (CODES, SCALE), "grid": (CODES, STEP, ROWS, COLS)}
"""Entries of a quantized parameter by its kind, in order.

A grid is: codes int8 ``[R, C]``, base step float32 (0-dim), row and column exponents int8 ``[R]``, ``[C]`` in eighths of
an octave (`recur.artifact.decode.grid_weight`).
"""


@dataclass(frozen=True, kw_only=True)
class QuantizedTensor:
    """Integer codes with their step.

    Attributes:
        q: codes, int8, in the weight's shape.
        scale: step per row (float16 ``[rows]``) or one step (0-dim); the decoded weight is ``q * scale``.
        meta: ``{"type": "int6" | "int8"}`` and, for a matrix, ``"method": "gptq" | "clip_search"``: what was done.
    """

    q: Tensor
    scale: Tensor
    meta: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class QuantizedModel:
    """What a container holds.

    Attributes:
        entries: stored tensors in state-dict order; a quantized parameter has one for each of its kind's `PARTS`.
        meta: metadata of every parameter, in the same order.
    """

    entries: dict[str, Tensor]
    meta: dict[str, Meta]

    def kind(self, name: str) -> str | None:
        """Kind of a quantized parameter (a key of `PARTS`), or None if it is stored as it is."""
        meta = self.meta[name]
        return None if isinstance(meta, str) else meta["type"]

    def missing_entries(self) -> list[str]:
        """Entries that the metadata promises and ``entries`` lacks."""
        wanted = [name + part for name in self.meta for part in PARTS.get(self.kind(name) or "", ("",))]
        return [name for name in wanted if name not in self.entries]

    def methods(self) -> dict[str, int]:
        """How many parameters went which way, e.g. ``{"passthrough": 51, "gptq": 66, "int8": 2}`` (for the log)."""
        counts: dict[str, int] = {}
        for meta in self.meta.values():
            way = meta if isinstance(meta, str) else meta.get("method", meta["type"])
            counts[way] = counts.get(way, 0) + 1
        return counts
