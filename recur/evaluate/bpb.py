"""The one metric: summed nats, tokens and bytes, from which loss and bits per byte follow.

Source: REFERENCE 2.4 and 11 (sums in float64). Every evaluation, during training and after it, accumulates a `Score`;
they differ only in the window plan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from recur.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Score:
    """What some scored positions cost. `a + b` is the score of both.

    Attributes:
        nats: sum of negative log likelihoods, nats, float64.
        tokens: number of scored targets.
        bytes: UTF-8 bytes of the scored targets, see `recur.data.tokenizer.ByteTable`.
    """

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(nats=self.nats + other.nats, tokens=self.tokens + other.tokens, bytes=self.bytes + other.bytes)

    @property
    def val_loss(self) -> float:
        """Mean nats per token. Raises DataError when nothing was scored."""
        if self.tokens == 0:
            raise DataError("scored tokens=0", "leave no mean loss", "give a stream of at least one whole window")
        return self.nats / self.tokens

    @property
    def val_bpb(self) -> float:
        """Bits per byte of the scored text. Raises DataError when the scored text has no bytes."""
        if self.bytes == 0:
            raise DataError("scored bytes=0", "leave no bits per byte", "check the tokenizer's byte table and the stream")
        return self.nats / math.log(2.0) / self.bytes


def total(scores: Iterable[Score]) -> Score:
    """Sum of scores; the nats are added exactly rounded, so that their order does not matter."""
    some = tuple(scores)
    return Score(
        nats=math.fsum(s.nats for s in some),
        tokens=sum(s.tokens for s in some),
        bytes=sum(s.bytes for s in some),
    )
