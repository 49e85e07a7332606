"""The optimizer of all matrices and the moving average: one tensor after the other, as the reference, against ours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.bars import ema as average_bar
from benchmarks.bars import newton_schulz as orthogonal_bar
from benchmarks.gpu.place import Place, settle
from benchmarks.harness import Bar, Outcome, measure
from recur.optim.ema import Ema
from recur.optim.groups import assign
from recur.optim.matrix.muon import Muon
from recur.train.ranks import Ranks

LR, MOMENTUM = 0.02, 0.95
RELATIVE = 2e-2
"""Largest relative difference of a matrix after all updates: bf16 iterations, in another order."""


def outcomes(place: Place) -> Iterator[Outcome]:
    """Two bars."""
    settle(place)
    yield measure(_muon(place))
    yield measure(_average(place))


class _Loop:
    """REFERENCE 6.3 for one matrix after the other."""

    def __init__(self, place: Place, parameters: list[Tensor], weight_decay: float) -> None:
        self.parameters, self.weight_decay = parameters, weight_decay
        self.orthogonal = place.compiled(orthogonal_bar.reference)
        self.momentum = [torch.zeros_like(p) for p in parameters]

    def step(self) -> None:
        """One update of each."""
        with torch.no_grad():
            for p, buffer in zip(self.parameters, self.momentum, strict=True):
                assert p.grad is not None
                buffer.mul_(MOMENTUM).add_(p.grad)
                g = p.grad.add(buffer, alpha=MOMENTUM)
                g = g / g.norm(dim=-1, keepdim=True).clamp_min(1e-7)
                update = self.orthogonal(g.bfloat16()) * max(1, p.size(0) / p.size(1)) ** 0.5
                p.mul_(1 - LR * self.weight_decay).add_(update.to(p.dtype), alpha=-LR)


def _matrices(place: Place) -> list[Tensor]:
    """Fresh ones of the record's shapes, with gradients."""
    recipe = place.recipe()
    model = place.model(recipe.model)
    parameters = dict(model.named_parameters())
    picked: list[Tensor] = [parameters[name] for name in assign(model, recipe.optim).matrix]
    draw = torch.Generator(place.device).manual_seed(5)
    for p in picked:
        p.grad = torch.randn(p.shape, generator=draw, device=place.device)
    return picked


def _muon(place: Place) -> Bar:
    cfg = place.recipe().optim
    theirs, mine = _matrices(place), _matrices(place)
    loop, banks = _Loop(place, theirs, cfg.matrix_weight_decay), Muon(mine, cfg, Ranks(0, 1))

    def reference() -> list[Tensor]:
        for _ in range(place.repeats):
            loop.step()
        return theirs

    def ours() -> list[Tensor]:
        for _ in range(place.repeats):
            banks.step(lr=LR, momentum=MOMENTUM)
        return mine

    def agreement(a: list[Tensor], b: list[Tensor]) -> str:
        worst = max(float((x - y).detach().norm() / x.detach().norm()) for x, y in zip(a, b, strict=True))
        assert worst <= RELATIVE, f"a matrix is {worst:.1e} off"
        return f"{len(a)} matrices to {worst:.0e}"

    return Bar(
        name=f"Muon, {len(mine)} matrices",
        reference=reference,
        ours=ours,
        agreement=agreement,
        threshold=5.0,
        goal=8.0,
        clock=place.clock,
    )


def _average(place: Place) -> Bar:
    recipe = place.recipe()
    model = place.model(recipe.model)
    ema = Ema(model, recipe.optim.ema_decay)
    average = {name: t.clone() for name, t in ema.state().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    return Bar(
        name=f"moving average of {sum(t.numel() for t in average.values()) / 1e6:.1f} M weights",
        reference=lambda: average_bar.reference(average, model, recipe.optim.ema_decay),
        ours=lambda: average_bar.ours(ema),
        agreement=average_bar.agreement,
        threshold=3.0,
        clock=place.clock,
    )
