"""Component ``artifact.fit = "prune"``: the reference's selective pruning to the byte cap.

Source: REFERENCE 9: build the container, and if it and the code exceed the cap by ``excess`` bytes, zero
``prune_factor * excess`` codes and build it again.
Deviation: the reference does not look at the second size. Here a first pass that fits is the reference's result; one
that does not is followed by further passes by the same rule, and `BudgetUnreachable` when all candidates are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable
from recur.quantize.prune import candidate_count, prune
from recur.quantize.tensors import QuantizedModel

Compress = Callable[[QuantizedModel, ArtifactConfig], bytes]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The container that fits, and what it took.

    Attributes:
        blob: container bytes.
        model: what the container holds.
        unpruned_bytes: container plus code before pruning.
        total_bytes: container plus code, at most the cap.
        excess_bytes: ``unpruned_bytes`` over the cap; 0 or less means nothing was pruned.
        pruned: codes set to zero.
        candidates: codes that could have been.
        passes: containers built; more than 2 means that the reference's rule alone did not reach the cap.
    """

    blob: bytes
    model: QuantizedModel
    unpruned_bytes: int
    total_bytes: int
    excess_bytes: int
    pruned: int
    candidates: int
    passes: int


def fit(model: QuantizedModel, cfg: ArtifactConfig, compress: Compress) -> FitResult:
    """Bring container plus code to at most ``cfg.cap_bytes``.

    Args:
        model: the whole model, unpruned.
        cfg: cap, code bytes, factor, and what ``compress`` needs.
        compress: builds a container, e.g. `recur.artifact.reference.write_container`, here or in another process.

    Raises:
        BudgetUnreachable: too large with every candidate pruned; names the smallest size.
    """
    candidates = candidate_count(model)
    fitted, wanted, pruned, passes = model, 0, 0, 1
    blob = compress(model, cfg)
    unpruned_bytes = total_bytes = smallest_bytes = len(blob) + cfg.code_bytes
    while total_bytes > cfg.cap_bytes:
        if pruned >= candidates:
            raise BudgetUnreachable(
                f"{smallest_bytes} bytes is the smallest size reached (of it code: {cfg.code_bytes}; {pruned} of "
                f"{candidates} candidate codes pruned); the cap is {cfg.cap_bytes} bytes"
            )
        wanted += cfg.prune_factor * (total_bytes - cfg.cap_bytes)
        step = prune(model, wanted)
        fitted, pruned, passes = step.model, step.pruned, passes + 1
        blob = compress(fitted, cfg)
        total_bytes = len(blob) + cfg.code_bytes
        smallest_bytes = min(smallest_bytes, total_bytes)
    return FitResult(
        blob=blob,
        model=fitted,
        unpruned_bytes=unpruned_bytes,
        total_bytes=total_bytes,
        excess_bytes=unpruned_bytes - cfg.cap_bytes,
        pruned=pruned,
        candidates=candidates,
        passes=passes,
    )
