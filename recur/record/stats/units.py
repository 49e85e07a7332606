"""Nats per token, nats per byte and bits per byte (BPB) of one text, and the challenge's margin in each of them.

BPB = nats per token / ln 2 / (bytes per token), and nats per byte = BPB * ln 2. Bytes per token are those of the scored
text under one tokenizer, so nats per token can only be compared between runs of the same tokenizer on the same text.
"""

from __future__ import annotations

from math import isfinite, log

from recur.errors import InputError

MARGIN_NATS = 0.005
"""Nats per token that a record must be better by (README of the challenge)."""

_LN2 = log(2.0)


def bytes_per_token(tokens: int, scored_bytes: int) -> float:
    """Mean bytes per token of a text with that many scored tokens and bytes.

    Raises:
        InputError: there are no tokens or no bytes.
    """
    if tokens <= 0 or scored_bytes <= 0:
        raise InputError(f"tokens={tokens}, bytes={scored_bytes}", "must both be above zero", "score a text first")
    return scored_bytes / tokens


def implied_bytes_per_token(nats_per_token: float, bpb: float) -> float:
    """Bytes per token that a loss and a score of the same run imply; published lines give these two, not the bytes.

    Raises:
        InputError: one of the two is not a finite number above zero.
    """
    if not (isfinite(nats_per_token) and isfinite(bpb) and nats_per_token > 0 and bpb > 0):
        given = f"nats_per_token={nats_per_token}, bpb={bpb}"
        raise InputError(given, "must both be finite and above zero", "give the loss and the score of one run")
    return nats_per_token / (bpb * _LN2)


def bpb_of_nats_per_token(nats_per_token: float, per_token: float) -> float:
    """Bits per byte of a loss (or of a difference of losses) in nats per token, at ``per_token`` bytes per token."""
    return nats_per_token / (_LN2 * per_token)


def nats_per_token_of_bpb(bpb: float, per_token: float) -> float:
    """Nats per token of a score (or of a difference of scores), at ``per_token`` bytes per token."""
    return bpb * _LN2 * per_token


def nats_per_byte_of_bpb(bpb: float) -> float:
    """Nats per byte of bits per byte."""
    return bpb * _LN2


def bpb_of_nats_per_byte(nats_per_byte: float) -> float:
    """Bits per byte of nats per byte."""
    return nats_per_byte / _LN2


def margin_bpb(per_token: float, margin_nats: float = MARGIN_NATS) -> float:
    """The margin of ``margin_nats`` nats per token in BPB, for a tokenizer with ``per_token`` bytes per token."""
    return bpb_of_nats_per_token(margin_nats, per_token)
