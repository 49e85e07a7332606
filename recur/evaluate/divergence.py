"""How far a model read from an artifact is from the one it was made from: KL per token, with its standard error.

KL(trained || round trip) is the second-order part of the loss that quantization costs. On a small or undertrained model
the difference of cross-entropies drowns in first-order terms of either sign, KL does not (QUANTIZATION 2); both are given.
The standard errors are over windows: positions of one window are not independent.
Legend: W windows, S their length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recur.data.dataset import Dataset
from recur.data.loader import WindowLoader
from recur.data.shards import Tokens
from recur.errors import DataError
from recur.evaluate.scoring import autocast_bf16, training_mode
from recur.model.gpt import GPT


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A student against its teacher on the same text.

    Attributes:
        kl: mean of KL(teacher || student), nats per token.
        kl_se: its standard error over windows.
        ce_difference: mean loss of the student minus the teacher's, nats per token.
        ce_difference_se: its standard error over windows.
        tokens: positions.
    """

    kl: float
    kl_se: float
    ce_difference: float
    ce_difference_se: float
    tokens: int


def windows_of(ids: Tokens, seq_len: int, tokens: int) -> Tensor:
    """Non-overlapping windows with their targets: ``[W, S + 1]`` int64 of the first ``tokens`` positions (rounded up to windows).

    Raises:
        DataError: the text is shorter.
    """
    count = math.ceil(tokens / seq_len)
    if len(ids) < count * seq_len + 1:
        raise DataError(f"{len(ids)} held-out tokens", f"must be more than {count * seq_len}", "give more text")
    starts = np.arange(count)[:, None] * seq_len
    return torch.from_numpy(ids[starts + np.arange(seq_len + 1)].astype(np.int64))


def held_out_training_windows(
    dataset: Dataset, *, seq_len: int, batch_tokens: int, skip_batches: int, tokens: int, world: int = 1
) -> Tensor:
    """Windows of training text that a run of ``skip_batches`` micro-batches has not seen: its first rank's next ones.

    A run that has gone through all its text has seen them in an earlier round.

    Args:
        dataset: the run's own.
        seq_len: window length; the loader's of the run.
        batch_tokens: tokens of one micro-batch over all ranks.
        skip_batches: micro-batches of the run.
        tokens: how many positions, rounded up to the first rank's share of a micro-batch.
        world: ranks of the run; the order of its windows depends on it where there are many shards.

    Returns:
        ``[W, S + 1]`` int64.
    """
    loader = WindowLoader(
        dataset.train_paths(),
        dataset.train_hash_strings(),
        seq_len=seq_len,
        batch_tokens=batch_tokens,
        rank=0,
        world=world,
        accum=1,
    )
    for _ in range(skip_batches):
        loader.next_windows()
    batches = [loader.next_batch() for _ in range(math.ceil(tokens * world / batch_tokens))]
    return torch.cat([torch.cat([b.x_BT, b.y_BT[:, -1:]], dim=1) for b in batches])


def divergences(
    teacher: GPT,
    students: Mapping[str, GPT],
    windows_WS: Tensor,
    *,
    batch_windows: int,
    device: torch.device,
    autocast: bool,
) -> dict[str, Divergence]:
    """Compare each student with the teacher; the teacher runs once per batch.

    Args:
        teacher: the unquantized model.
        students: models by name.
        windows_WS: ``[W, S + 1]`` token ids; position t predicts t + 1.
        batch_windows: windows of one forward.
        device: where the models are.
        autocast: bf16 autocast, for all alike.
    """
    sums: dict[str, list[Tensor]] = {name: [] for name in students}
    for batch in torch.split(windows_WS, batch_windows):
        ids, targets = batch[:, :-1].to(device), batch[:, 1:].to(device)
        with torch.no_grad(), autocast_bf16(device, autocast), training_mode(teacher, False):
            wanted = F.log_softmax(teacher(ids).float(), dim=-1)
        for name, student in students.items():
            with torch.no_grad(), autocast_bf16(device, autocast), training_mode(student, False):
                found = F.log_softmax(student(ids).float(), dim=-1)
            sums[name].append(_window_means(wanted, found, targets))
    return {name: _divergence(parts, windows_WS.shape[1] - 1) for name, parts in sums.items()}


def _window_means(wanted: Tensor, found: Tensor, targets: Tensor) -> Tensor:
    """Means over each window's positions: of the KL, and of the loss difference; float64 ``[2, b]``."""
    kl = (wanted.exp() * (wanted - found)).sum(dim=-1).double().mean(dim=1).cpu()
    difference = (wanted - found).gather(-1, targets[..., None]).squeeze(-1).double().mean(dim=1).cpu()
    return torch.stack([kl, difference])


def _divergence(parts: Sequence[Tensor], seq_len: int) -> Divergence:
    kl, difference = torch.cat(list(parts), dim=1)
    return Divergence(
        kl=float(kl.mean()),
        kl_se=_standard_error(kl),
        ce_difference=float(difference.mean()),
        ce_difference_se=_standard_error(difference),
        tokens=len(kl) * seq_len,
    )


def _standard_error(means: Tensor) -> float:
    return float(means.std() / math.sqrt(len(means))) if len(means) > 1 else math.nan
