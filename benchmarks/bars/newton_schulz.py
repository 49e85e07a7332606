"""Newton-Schulz over the record's 67 matrices: one by one (REFERENCE 6.3) against stacks of one shape; float32, one thread.

The bar is that both agree to 1e-6; the time on a CPU is shown, not judged: stacks pay on a GPU, where each product is short.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.harness import Outcome, judged
from recur.optim.matrix.muon import NS_COEFFICIENTS, newton_schulz

STEPS = 5
LAYERS = 2
SHAPES = {(512, 512): 2 * LAYERS, (256, 512): 2 * LAYERS, (2048, 512): LAYERS, (512, 2048): LAYERS, (128, 256): 1}
"""Of two layers: the others are the same work again."""


def reference(G: Tensor) -> Tensor:
    """REFERENCE 6.3 for one matrix."""
    a, b, c = NS_COEFFICIENTS
    X: Tensor = G / (G.norm() + 1e-7)
    if G.size(0) > G.size(1):
        X = X.T
    for _ in range(STEPS):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.size(0) > G.size(1) else X


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(2)
    stacks = [torch.randn(count, *shape, generator=draw) for shape, count in SHAPES.items()]
    start = time.process_time()
    theirs = [torch.stack([reference(G) for G in stack]) for stack in stacks]
    middle = time.process_time()
    ours = [newton_schulz(stack, steps=STEPS, dtype=torch.float32) for stack in stacks]
    end = time.process_time()
    worst = max(float((a - b).abs().max()) for a, b in zip(theirs, ours, strict=True))
    yield judged(
        name="Newton-Schulz, stacks against a loop, largest difference",
        ratio=worst,
        threshold=1e-6,
        kind="share",
        agreement=f"{sum(SHAPES.values())} matrices",
        note=f"{(middle - start) / (end - middle):.2f} times as fast",
    )
