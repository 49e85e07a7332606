"""Calibration Hessians: sums of x x^T over the inputs of linear layers, with their count.

Source: REFERENCE 8.4. The inputs are converted to float32 first; layers that run twice count both visits; c_q, c_k and
c_v of one block see one input and share one sum, which is computed once.
Deviation: sums of several ranks are added (`HessianSum.__add__`); the reference uses rank 0's alone. The faithful
profile keeps rank 0's by not adding. A tied token table counts as the linear layer that it is at the head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recur.errors import DataError, RecurError
from recur.model.gpt import GPT
from recur.quantize.classes import TOKEN_TABLE, hessian_names

__all__ = ["HessianSum", "collect_hessians", "hessian_names", "shared_input"]

_QKV = re.compile(r"(.*\.attn\.)c_[qkv]\.weight")


class Inputs(Protocol):
    """Anything with token ids ``[B, T]``, e.g. `recur.data.loader.Batch`."""

    @property
    def x_BT(self) -> Tensor: ...  # noqa: N802 - the field's name in Batch, with its dims


@dataclass(frozen=True, kw_only=True)
class HessianSum:
    """Sums of x x^T and the number of micro-batches in them.

    Attributes:
        sums: per parameter ``[columns, columns]`` float32; parameters with one input hold the same tensor object.
        batches: micro-batches of one rank each that were summed; adding ranks adds them.
    """

    sums: dict[str, Tensor]
    batches: int

    def __add__(self, other: HessianSum) -> HessianSum:
        """The sum over both; the parameters must be the same."""
        if self.aliases() != other.aliases():
            raise RecurError("Hessians of different sets of parameters cannot be added")
        mine, theirs = self.distinct(), other.distinct()
        added = {name: mine[name] + theirs[name] for name in mine}
        return HessianSum.shared(added, self.aliases(), self.batches + other.batches)

    def mean(self) -> dict[str, Tensor]:
        """Sum over batches divided by their number (not by the number of tokens); shared as the sums are."""
        return {name: means[owner] for means in (self._means(),) for name, owner in self.aliases().items()}

    def distinct(self) -> dict[str, Tensor]:
        """Each tensor once, under the first parameter that holds it (for files and for collectives)."""
        return {name: self.sums[name] for name, owner in self.aliases().items() if name == owner}

    def aliases(self) -> dict[str, str]:
        """For each parameter the first one that holds the same tensor."""
        owners: dict[int, str] = {}
        return {name: owners.setdefault(id(tensor), name) for name, tensor in self.sums.items()}

    @classmethod
    def shared(cls, distinct: Mapping[str, Tensor], aliases: Mapping[str, str], batches: int) -> HessianSum:
        """The inverse of `distinct` and `aliases`."""
        return cls(sums={name: distinct[owner] for name, owner in aliases.items()}, batches=batches)

    def _means(self) -> dict[str, Tensor]:
        return {name: tensor / self.batches for name, tensor in self.distinct().items()}


def shared_input(name: str) -> str:
    """Key of the input that the layer of parameter ``name`` reads: one for c_q, c_k and c_v of a block."""
    match = _QKV.fullmatch(name)
    return f"{match.group(1)}c_qkv" if match else name


def collect_hessians(
    model: nn.Module,
    batches: Iterable[Inputs],
    *,
    count: int,
    names: Sequence[str],
    device: torch.device | str,
) -> HessianSum:
    """Run ``count`` batches through the model, forward only, and sum x x^T of the named layers.

    Evaluation mode, no gradients, no autocast; the model is put back into its former mode. Depth recurrence is as
    the model has it. Not for a compiled module: hooks need the module itself.

    Args:
        model: called as ``model(ids_BT)``; a `GPT` if the tied table is named.
        batches: at least ``count`` of them; no more than ``count`` are taken.
        names: parameters ``<module>.weight`` of `nn.Linear` modules, or the token table tied to the head (`hessian_names`).
        device: where the model is and the sums are kept while they grow.

    Returns:
        Sums on the CPU, in the order of ``names``.

    Raises:
        DataError: fewer batches than asked for.
        RecurError: a name that is not a linear layer's weight.
    """
    leaders: dict[str, str] = {}
    aliases = {name: leaders.setdefault(shared_input(name), name) for name in names}
    tied = model if isinstance(model, GPT) and model.lm_head is None else None
    layers = {name: _linear(model, name) for name in leaders.values() if tied is None or name != TOKEN_TABLE}
    widths = {name: model.get_parameter(name).shape[1] for name in leaders.values()}
    sums = {name: torch.zeros(width, width, device=device) for name, width in widths.items()}
    done = 0
    with _calibrating(model, layers, sums), torch.autocast(torch.device(device).type, enabled=False), torch.no_grad():
        for batch in islice(batches, count):
            ids_BT = batch.x_BT.to(device)
            last = model(ids_BT) if tied is None else tied.hidden(ids_BT)  # a tied head's logits are of no use here
            if TOKEN_TABLE in sums:
                _add(sums[TOKEN_TABLE], last)
            done += 1
    if done < count:
        raise DataError(f"{done} calibration batches", f"must be quantize.calibration_batches={count}", "give more text")
    return HessianSum.shared({name: total.cpu() for name, total in sums.items()}, aliases, done)


def _linear(model: nn.Module, name: str) -> nn.Linear:
    modules = dict(model.named_modules())
    layer = modules.get(name.removesuffix(".weight"))
    if not isinstance(layer, nn.Linear):
        raise RecurError(f"{name} is not the weight of a linear layer, so it has no Hessian")
    return layer


def _accumulate(total_CC: Tensor, layer: nn.Module, args: tuple[Any, ...]) -> None:
    """Forward pre-hook: add x^T x of the layer's input."""
    _add(total_CC, args[0].detach())


def _add(total_CC: Tensor, x: Tensor) -> None:
    """Add x^T x of ``[..., C]`` over all leading dims, in float32."""
    x_NC = x.reshape(-1, total_CC.shape[0]).float()
    total_CC.addmm_(x_NC.t(), x_NC)


@contextmanager
def _calibrating(model: nn.Module, layers: dict[str, nn.Linear], sums: dict[str, Tensor]) -> Iterator[None]:
    was_training = model.training
    hooks = [layer.register_forward_pre_hook(partial(_accumulate, sums[name])) for name, layer in layers.items()]
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
