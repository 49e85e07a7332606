"""GPTQ of one block at the record's shapes: the reference's five sweeps per matrix against ours; one thread.

The reference's side follows REFERENCE 8.2 and 8.5 line by line: every matrix has its own factorisation, every candidate its
own sweep over ``[R, C]`` rows in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.harness import Bar, Outcome, measure
from recur import native
from recur.config import QuantizeConfig
from recur.quantize.matrix.gptq import quantize_matrices
from recur.quantize.tensors import QuantizedTensor
from recur.recipe import load_recipe

WIDTH, KV_WIDTH, HIDDEN = 512, 256, 2048
TYPICAL_STD, WIDE_STD = 0.08, 0.5
"""Standard deviation of the reference run's weights (REFERENCE 8.2), and one at which no row's clip is below the floor."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Matrices with one input."""

    weights: list[Tensor]
    hessian: Tensor


def reference_matrix(W: Tensor, H: Tensor, cfg: QuantizeConfig) -> QuantizedTensor:
    """REFERENCE 8.5 for one matrix."""
    H = H.clone()
    dead = torch.diag(H) == 0
    H[dead, dead] = 1
    H.diagonal().add_(cfg.damping * H.diagonal().mean())
    order = torch.argsort(H.diagonal(), descending=True, stable=True)
    W_ordered = W[:, order].clone()
    W_ordered[:, dead[order]] = 0
    U = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(H[order][:, order])), upper=True)
    best: tuple[float, Tensor, Tensor] | None = None
    for p in cfg.clip_percentiles:
        clip = torch.quantile(W.abs(), p, dim=1) if p < 1 else W.abs().amax(dim=1)
        scale = (clip / 31).clamp_min(1 / 31).half()
        q = reference_sweep(W_ordered.clone(), scale.float(), U, cfg.block_columns)
        error = float((W_ordered - q * scale.float()[:, None]).square().mean())
        if best is None or error < best[0]:
            best = (error, q, scale)
    assert best is not None
    codes = torch.empty_like(best[1])
    codes[:, order] = best[1]
    return QuantizedTensor(q=codes.to(torch.int8), scale=best[2], meta={})


def reference_sweep(W: Tensor, s: Tensor, U: Tensor, block: int) -> Tensor:
    """Columns left to right, errors fed back at once inside a block and once per block beyond it; float codes."""
    Q = torch.zeros_like(W)
    for start in range(0, W.shape[1], block):
        stop = min(start + block, W.shape[1])
        inside, errors = W[:, start:stop].clone(), torch.zeros_like(W[:, start:stop])
        for j in range(stop - start):
            w, d = inside[:, j], U[start + j, start + j]
            q = torch.clamp(torch.round(w / s), -31, 31)
            Q[:, start + j] = q
            error = (w - q * s) / d
            inside[:, j:] -= error.unsqueeze(1) * U[start + j, start + j : stop].unsqueeze(0)
            errors[:, j] = error
        if stop < W.shape[1]:
            W[:, stop:] -= errors @ U[start:stop, stop:]
    return Q


def block(std: float) -> list[Group]:
    """q, k, v, then o, fc and the MLP's way back, with the inputs' Hessians."""
    draw = torch.Generator().manual_seed(3)

    def matrices(*rows: int, columns: int) -> list[Tensor]:
        return [torch.randn(r, columns, generator=draw) * std for r in rows]

    def hessian(columns: int) -> Tensor:
        x = torch.randn(3 * columns, columns, generator=draw) * (0.3 + torch.rand(columns, generator=draw))
        return x.T @ x / 64

    return [
        Group(weights=matrices(WIDTH, KV_WIDTH, KV_WIDTH, columns=WIDTH), hessian=hessian(WIDTH)),
        Group(weights=matrices(WIDTH, columns=WIDTH), hessian=hessian(WIDTH)),
        Group(weights=matrices(HIDDEN, columns=WIDTH), hessian=hessian(WIDTH)),
        Group(weights=matrices(WIDTH, columns=HIDDEN), hessian=hessian(HIDDEN)),
    ]


def agreement(reference: Sequence[QuantizedTensor], ours: Sequence[QuantizedTensor]) -> str:
    """Codes and steps, bit for bit."""
    for a, b in zip(reference, ours, strict=True):
        assert torch.equal(a.scale, b.scale), "steps differ"
        assert torch.equal(a.q, b.q), f"{int((a.q != b.q).sum())} of {a.q.numel()} codes differ"
    return f"{sum(a.q.numel() for a in reference):,} codes and their steps, bit for bit"


def bar(name: str, groups: list[Group], cfg: QuantizeConfig, threshold: float, goal: float | None) -> Bar:
    """The bar over some groups."""
    return Bar(
        name=name,
        reference=lambda: [reference_matrix(W, group.hessian, cfg) for group in groups for W in group.weights],
        ours=lambda: [q for group in groups for q in quantize_matrices(group.weights, group.hessian, cfg)],
        agreement=agreement,
        threshold=threshold,
        goal=goal,
        pairs=3,
    )


def outcomes() -> Iterator[Outcome]:
    """Three bars."""
    torch.set_num_threads(1)
    native.enable()
    cfg = load_recipe("record_1421").quantize
    typical, wide = block(TYPICAL_STD), block(WIDE_STD)
    yield measure(bar("GPTQ, one block's six matrices", typical, cfg, 4.0, 6.0))
    yield measure(bar("GPTQ, q+k+v with one Hessian", typical[:1], cfg, 8.0, None))
    yield measure(bar("GPTQ, six matrices, no row at the floor", wide, cfg, 4.0, None))
