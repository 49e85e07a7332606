"""Output-gradient moments: how much the loss minds an error at each output row of a layer, under the model's own labels.

For every token visit of a layer, g = gradient of the summed negative log-likelihood at the layer's output, with labels
drawn from the model's own softmax (the true Fisher, not the empirical one of the data's labels). E[g_r^2] is the output
factor of K-FAC, and half of it the KL that a unit of squared error at row r costs; the input factor is the Hessian sum of
`recur.quantize.hessian`. Labels of different positions are independent, so one backward of the sum has the right squares
on average: cross terms vanish.
Source: Martens & Grosse 2015 (arXiv:1503.05671), sections 2-3, diagonal of the output factor; Kunstner et al. 2019
(arXiv:1905.12558) on why model labels. Deviations: at the head the expectation over labels is taken exactly,
E[g_v^2] = p_v (1 - p_v) (d softcap / d z_v)^2; lookups of an embedding table get a moment per row of their own.

Legend: B sequences, T positions, N token visits, R rows of a weight (its outputs), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count as count_from
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recur.errors import DataError, RecurError
from recur.model.gpt import GPT
from recur.quantize.classes import HEAD, TOKEN_TABLE
from recur.quantize.hessian import Inputs

__all__ = ["MomentSum", "collect_moments", "sample_labels"]

LOGITS_AT_ONCE = 2**26
"""Logits of one pass; at a vocabulary of 4096 that is 16,384 tokens: 0.25 GiB a float32 copy of the logits (about five live
at once) and, at width 512 and 13 visits in bf16 without compilation, an estimated 10 GiB of saved activations."""


@dataclass(frozen=True, kw_only=True)
class MomentSum:
    """Sums of squared output gradients, and what they are sums over.

    Attributes:
        outputs: per parameter ``[rows]`` float32: sum over token visits of the squared gradient at that output.
        visits: per parameter the token visits; a layer that runs twice counts both.
        lookups: per embedding table ``[vocab]`` float32: sum, over positions where that token was looked up, of the
            mean over columns of the squared gradient at the lookup's output.
        tokens: positions that were summed.
    """

    outputs: dict[str, Tensor]
    visits: dict[str, int]
    lookups: dict[str, Tensor]
    tokens: int

    def __add__(self, other: MomentSum) -> MomentSum:
        """The sum over both (ranks, shares); the parameters must be the same."""
        if self.outputs.keys() != other.outputs.keys() or self.lookups.keys() != other.lookups.keys():
            raise RecurError("moments of different sets of parameters cannot be added")
        return MomentSum(
            outputs={name: total + other.outputs[name] for name, total in self.outputs.items()},
            visits={name: visits + other.visits[name] for name, visits in self.visits.items()},
            lookups={name: total + other.lookups[name] for name, total in self.lookups.items()},
            tokens=self.tokens + other.tokens,
        )

    def output_moments(self) -> dict[str, Tensor]:
        """Mean over token visits, nats per squared unit of output: ``[rows]`` per parameter; 0 if never visited."""
        return {name: total / max(self.visits[name], 1) for name, total in self.outputs.items()}

    def lookup_moments(self) -> dict[str, Tensor]:
        """Lookup sums per position of text, so that frequent tokens weigh more: ``[vocab]`` per table."""
        return {name: total / max(self.tokens, 1) for name, total in self.lookups.items()}


def collect_moments(
    model: GPT,
    batches: Iterable[Inputs],
    *,
    count: int,
    names: Sequence[str],
    tables: Sequence[str],
    seed: int,
    device: torch.device | str,
    numbers: Iterable[int] | None = None,
) -> MomentSum:
    """Run ``count`` batches forward and backward and sum the squared gradients at outputs and lookups.

    Evaluation mode, no autocast (as the Hessians: activations have the tables' type; squares and sums are float32),
    gradients of activations only. The model is put back: its mode, its parameters' ``requires_grad``, no hooks. Depth
    recurrence is as the model has it. Large batches go through in groups of whole sequences (`LOGITS_AT_ONCE`).

    Args:
        model: the module itself, not a compiled one.
        batches: at least ``count`` of them; no more are taken.
        names: weights of `nn.Linear` modules and of the head (``tok_emb.weight`` if tied): `hessian_names`.
        tables: weights of `nn.Embedding` modules: `lookup_names`.
        seed: of the labels, together with the batch's number.
        device: where the model is.
        numbers: a number for each batch, so that shares of one stream draw the labels of the whole; None = 0, 1, ...

    Returns:
        Sums on the CPU. Equal arguments give equal sums on the CPU; on CUDA up to the order of atomic additions.

    Raises:
        DataError: fewer batches than asked for.
        RecurError: a name that is no linear layer's weight and not the head, or a table that is no embedding.
    """
    tally = _Tally(model, names, tables, torch.device(device))
    done = 0
    with _gradients_of_activations(model), tally.hooked(), torch.autocast(tally.device.type, enabled=False):
        for number, batch in zip(count_from() if numbers is None else numbers, islice(batches, count), strict=False):
            tally.batch(batch.x_BT, np.random.default_rng([seed, number]))
            done += 1
    if done < count:
        raise DataError(f"{done} calibration batches", f"must be quantize.fisher_batches={count}", "give more text")
    return tally.total()


def sample_labels(p_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """One label per row by the inverse distribution function: the first index whose cumulated share exceeds ``uniform_N``.

    Args:
        p_NV: non-negative float32 shares; rows need not sum to 1.
        uniform_N: float32 in [0, 1).

    Returns:
        int64 ``[N]``; never an index of share 0 unless all are.
    """
    cumulated_NV = p_NV.cumsum(dim=-1)
    threshold_N1 = uniform_N[:, None] * cumulated_NV[:, -1:]
    return torch.searchsorted(cumulated_NV, threshold_N1, right=True).squeeze(-1).clamp_(max=p_NV.shape[-1] - 1)


class _Tally:
    """The growing sums and the hooks that feed them."""

    def __init__(self, model: GPT, names: Sequence[str], tables: Sequence[str], device: torch.device) -> None:
        self.model, self.device, self.tokens = model, device, 0
        self.head = TOKEN_TABLE if model.lm_head is None else HEAD
        modules = dict(model.named_modules())
        self.layers = {name: modules.get(name.removesuffix(".weight")) for name in names if name != self.head}
        self.tables = {name: modules.get(name.removesuffix(".weight")) for name in tables}
        _all_of(self.layers, nn.Linear)
        _all_of(self.tables, nn.Embedding)
        self.outputs = {name: torch.zeros(_rows(model, name), device=device) for name in names}
        self.lookups = {name: torch.zeros(_rows(model, name), device=device) for name in tables}
        self.visits = dict.fromkeys(names, 0)

    def batch(self, x_BT: Tensor, rng: np.random.Generator) -> None:
        """Add one micro-batch; the labels' uniforms are drawn at once, so the grouping does not change them."""
        uniform_BT = torch.from_numpy(rng.random(x_BT.shape, dtype=np.float32))
        rows = max(1, LOGITS_AT_ONCE // (self.model.cfg.vocab_size * x_BT.shape[1]))
        for ids_bT, uniform_bT in zip(torch.split(x_BT, rows), torch.split(uniform_BT, rows), strict=True):
            self._group(ids_bT.to(self.device), uniform_bT.to(self.device))
        self.tokens += x_BT.numel()

    def _group(self, ids_bT: Tensor, uniform_bT: Tensor) -> None:
        """Forward, draw labels, backward. The gradient of the summed NLL at the capped logits is p - onehot(label)."""
        capped_NV = self.model(ids_bT).flatten(0, 1)
        with torch.no_grad():
            p_NV = capped_NV.float().softmax(dim=-1)
            if self.head in self.outputs:
                self._add_head(capped_NV, p_NV)
            label_N = sample_labels(p_NV, uniform_bT.flatten())
            p_NV[torch.arange(len(label_N), device=self.device), label_N] -= 1
        capped_NV.backward(p_NV.to(capped_NV.dtype))

    def _add_head(self, capped_NV: Tensor, p_NV: Tensor) -> None:
        """Exact expectation over labels at the head's output z: c = cap tanh(z / cap) has slope 1 - (c / cap)^2."""
        slope_NV = 1 - (capped_NV.float() / self.model.cfg.logit_softcap).square()
        self.outputs[self.head] += (p_NV * (1 - p_NV) * slope_NV.square()).sum(dim=0)
        self.visits[self.head] += len(p_NV)

    def _linear(self, layer: nn.Module, args: tuple[Any, ...], out: Tensor, *, name: str) -> None:
        """Forward hook: count the visits now, add g^2 when the gradient comes."""
        self.visits[name] += out.numel() // out.shape[-1]
        out.register_hook(partial(self._add_output, name))  # type: ignore[no-untyped-call]

    def _add_output(self, name: str, grad: Tensor) -> None:
        self.outputs[name] += grad.float().square().flatten(0, -2).sum(dim=0)

    def _embedding(self, layer: nn.Module, args: tuple[Any, ...], out: Tensor, *, name: str | None) -> None:
        """Forward hook: here the gradients of activations begin; ``name`` of a counted table."""
        out.requires_grad_()
        if name is not None:
            out.register_hook(partial(self._add_lookup, name, args[0].flatten()))  # type: ignore[no-untyped-call]

    def _add_lookup(self, name: str, ids_N: Tensor, grad: Tensor) -> None:
        self.lookups[name].index_add_(0, ids_N, grad.float().square().mean(dim=-1).flatten())

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Hooks on every named layer and on every embedding."""
        named = {id(module): name for name, module in self.tables.items()}
        embeddings = [module for module in self.model.modules() if isinstance(module, nn.Embedding)]
        hooks = [m.register_forward_hook(partial(self._embedding, name=named.get(id(m)))) for m in embeddings]
        hooks += [m.register_forward_hook(partial(self._linear, name=name)) for name, m in self.layers.items() if m]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def total(self) -> MomentSum:
        """The sums so far, on the CPU."""
        outputs = {name: total.cpu() for name, total in self.outputs.items()}
        lookups = {name: total.cpu() for name, total in self.lookups.items()}
        return MomentSum(outputs=outputs, visits=self.visits, lookups=lookups, tokens=self.tokens)


def _all_of(modules: Mapping[str, nn.Module | None], kind: type[nn.Module]) -> None:
    for name, module in modules.items():
        if not isinstance(module, kind):
            raise RecurError(f"{name} is not the weight of a {kind.__name__}, so it has no moment")


def _rows(model: nn.Module, name: str) -> int:
    return int(model.get_parameter(name).shape[0])


@contextmanager
def _gradients_of_activations(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, parameters without gradients, gradients enabled; all put back."""
    was_training, wanted = model.training, [p for p in model.parameters() if p.requires_grad]
    model.eval()
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_()
        model.train(was_training)
