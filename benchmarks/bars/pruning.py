"""Pruning of 2.1 M codes: a sorted list of every candidate (REFERENCE 9) against whole rows at once; one thread; memory."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.harness import Bar, Outcome, judged, measure
from recur.quantize.prune import prune
from recur.quantize.tensors import CODES, SCALE, QuantizedModel

SHAPES = ((512, 512), (256, 512), (256, 512), (512, 512), (2048, 512), (512, 512))
SIGMA_STEPS = 2.47
FRACTION = 0.3
"""Of the candidates that go: enough to end in the middle of rows that cost the same."""


def model(shapes: Sequence[tuple[int, int]] = SHAPES) -> QuantizedModel:
    """Gaussian codes; half of the rows have the floor's step, so that ties decide."""
    draw = torch.Generator().manual_seed(5)
    entries: dict[str, Tensor] = {}
    for k, (rows, columns) in enumerate(shapes):
        codes = torch.randn(rows, columns, generator=draw) * SIGMA_STEPS
        steps = torch.where(torch.rand(rows, generator=draw) < 0.5, 1 / 31, 0.03 + 0.02 * torch.rand(rows, generator=draw))
        entries[f"m{k}{CODES}"] = codes.round().clamp(-31, 31).to(torch.int8)
        entries[f"m{k}{SCALE}"] = steps.half()
    return QuantizedModel(entries=entries, meta={f"m{k}": {"type": "int6"} for k in range(len(shapes))})


def reference(whole: QuantizedModel, count: int) -> dict[str, Tensor]:
    """REFERENCE 9 (3, 4): one tuple a candidate, a stable sort by cost."""
    candidates = []
    for name in whole.meta:
        q, step = whole.entries[name + CODES], whole.entries[name + SCALE].float()
        for row, column in (q.abs() == 1).nonzero().tolist():
            candidates.append((float(step[row]) ** 2, name, row, column))
    candidates.sort(key=lambda candidate: candidate[0])
    left = {name: whole.entries[name + CODES].clone() for name in whole.meta}
    for _, name, row, column in candidates[:count]:
        left[name][row, column] = 0
    return left


def agreement(theirs: dict[str, Tensor], ours: QuantizedModel) -> str:
    """Every code."""
    for name, codes in theirs.items():
        assert torch.equal(codes, ours.entries[name + CODES]), f"{name} differs"
    return "identical tensors, ties included"


def growth_kib(work: Callable[[QuantizedModel, int], object], whole: QuantizedModel, count: int) -> int:
    """By how much a forked child's peak memory grows while it does ``work``, which it has done on a small model before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        work(model(((16, 64),)), 40)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work(whole, count)
        os.write(writing, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    found = int(os.read(reading, 32))
    os.close(reading)
    os.close(writing)
    return found


def outcomes() -> Iterator[Outcome]:
    """Time, then memory."""
    torch.set_num_threads(1)
    whole = model()
    count = int(FRACTION * sum(int((whole.entries[name + CODES].abs() == 1).sum()) for name in whole.meta))
    numel = sum(rows * columns for rows, columns in SHAPES)
    yield measure(
        Bar(
            name=f"pruning {count:,} of {numel / 1e6:.1f} M codes",
            reference=lambda: reference(whole, count),
            ours=lambda: prune(whole, count).model,
            agreement=agreement,
            threshold=15.0,
            pairs=3,
        )
    )
    theirs, ours = growth_kib(reference, whole, count), growth_kib(prune, whole, count)
    yield judged(
        name="pruning, growth of peak memory",
        ratio=ours / theirs,
        threshold=0.1,
        kind="share",
        agreement="as above",
        note=f"{ours / 1024:.0f} MiB against {theirs / 1024:.0f}",
    )
