"""A causal language model small enough to reason about, in float64 so that sums can be compared to the last bits."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recur.data.tokenizer import ByteTable

VOCAB = 13


class TinyCausal(nn.Module):
    """Logits from the running mean of token embeddings and the position in the window."""

    def __init__(self, seed: int = 0, vocab: int = VOCAB, width: int = 5, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype))

        self.tok_emb = draw(vocab, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width, bias=False, dtype=dtype) for _ in range(2))
        for block in self.blocks:
            block.weight = draw(width, width)
        self.head = draw(vocab, width)
        self.recurrence_active = False
        self.seen: list[tuple[int, int]] = []

    def set_recurrence(self, active: bool) -> None:
        self.recurrence_active = active

    def logits(self, ids_BT: Tensor) -> Tensor:
        self.seen.append((ids_BT.shape[0], ids_BT.shape[1]))
        count = torch.arange(1, ids_BT.shape[1] + 1, dtype=self.tok_emb.dtype)
        x = F.embedding(ids_BT, self.tok_emb).cumsum(1) / count[:, None] + 0.1 * torch.sin(count)[:, None]
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return x @ self.head.T

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        return F.cross_entropy(self.logits(ids_BT).flatten(0, 1), targets_BT.flatten(), reduction="none").view(targets_BT.shape)

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return self.score(ids_BT, targets_BT).mean()


def byte_table(vocab: int = VOCAB) -> ByteTable:
    """Token 0 is a boundary, token 1 a byte, the others have 2..5 bytes, every third with a leading space."""
    ids = np.arange(vocab)
    boundary = ids == 0
    base = np.where(boundary, 0, np.where(ids == 1, 1, 2 + ids % 4)).astype(np.int16)
    return ByteTable(base=base, space=(ids % 3 == 2) & (ids > 1), boundary=boundary)


def stream(positions: int, seed: int = 0, vocab: int = VOCAB) -> np.ndarray:
    """A random stream of ``positions + 1`` tokens."""
    return np.random.default_rng(seed).integers(0, vocab, positions + 1)
