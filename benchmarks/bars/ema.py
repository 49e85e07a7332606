"""The moving average of all weights at the record's size: the reference's loop over the state dict against ours; one thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.harness import Bar, Outcome, measure, most_runs
from recur import native
from recur.model.build import apply_precision
from recur.model.gpt import GPT
from recur.optim.ema import Ema
from recur.recipe import load_recipe

UPDATES = 20
PAIRS = 7
DRIFT = most_runs(PAIRS) * UPDATES * 2.0**-23
"""Largest difference of an average, relative to its largest weight: a rounding of float32 for each update that may be made."""


def reference(average: dict[str, Tensor], model: nn.Module, decay: float) -> dict[str, Tensor]:
    """REFERENCE 7.2 step 6, entry by entry."""
    with torch.no_grad():
        for _ in range(UPDATES):
            for name, tensor in model.state_dict().items():
                average[name].mul_(decay).add_(tensor.detach().float(), alpha=1 - decay)
    return average


def ours(ema: Ema) -> dict[str, Tensor]:
    """The product's."""
    for _ in range(UPDATES):
        ema.update()
    return ema.state()


def agreement(theirs: dict[str, Tensor], mine: dict[str, Tensor]) -> str:
    """Every entry up to rounding."""
    assert list(theirs) == list(mine), "entries differ"
    worst = max(float((theirs[n] - mine[n]).abs().max() / theirs[n].abs().max().clamp_min(1e-30)) for n in theirs)
    assert worst <= DRIFT, f"an average is {worst:.1e} off"
    return f"{len(theirs)} tensors to {worst:.0e}"


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    torch.set_num_threads(1)
    native.enable()
    recipe = load_recipe("record_1421")
    torch.manual_seed(4)
    model = GPT(replace(recipe.model, train_seq_len=64))
    apply_precision(model, "bf16")
    ema = Ema(model, recipe.optim.ema_decay)
    average = {name: t.clone() for name, t in ema.state().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.01)
    bar = Bar(
        name=f"moving average of {sum(t.numel() for t in average.values()) / 1e6:.1f} M weights",
        reference=lambda: reference(average, model, recipe.optim.ema_decay),
        ours=lambda: ours(ema),
        agreement=agreement,
        threshold=1.4,
        pairs=PAIRS,
    )
    yield measure(bar)
