"""Bytes of the coders at equal codes, on the codes of trained models: ours by section against brotli 11 on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import brotli

from benchmarks.lab.checkpoint import Checkpoint
from benchmarks.lab.faithful import Candidate
from benchmarks.lab.ours import Ours
from recur.artifact.layout import Role
from recur.artifact.sections import RawSection, encode_section, split
from recur.quantize.tensors import QuantizedModel

BROTLI_QUALITY, BROTLI_WINDOW = 11, 24
ALL_CODES = tuple(role for role in Role if role.holds_codes)
MATRICES = tuple(role for role in ALL_CODES if role is not Role.TABLES)


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One set of codes: bytes of brotli, of our sections, and the ratio."""

    codes: str
    symbols: int
    brotli_bytes: int
    our_bytes: int
    bar: float
    goal: float

    @property
    def ratio(self) -> float:
        return self.our_bytes / self.brotli_bytes

    @property
    def met(self) -> bool:
        return self.ratio <= self.bar


def compare_coders(checkpoint: Checkpoint, base: Candidate, ours: Candidate) -> list[Coded]:
    """Codes with one step a matrix (the reference's, and ours so laid out), and ours with row and column steps.

    Args:
        checkpoint: the trained model.
        base: the reference's codes.
        ours: our codes, steps by row and column.
    """
    flat = Ours(checkpoint, ["quantize.step_layout=matrix"]).fitted("flat", base.cap_bytes, 0)
    return [
        _coded("reference's matrices", base.model, MATRICES, 0.985, 0.975),
        _coded("matrices, a step each", flat.model, MATRICES, 0.985, 0.975),
        _coded("all, steps by row and column", ours.model, ALL_CODES, 0.96, 0.95),
    ]


def _coded(name: str, model: QuantizedModel, roles: Sequence[Role], bar: float, goal: float) -> Coded:
    sections: list[RawSection] = [raw for raw in split(model) if raw.shape.role in roles]
    whole = b"".join(raw.data for raw in sections)
    return Coded(
        codes=name,
        symbols=len(whole),
        brotli_bytes=len(brotli.compress(whole, quality=BROTLI_QUALITY, lgwin=BROTLI_WINDOW)),
        our_bytes=sum(len(encode_section(raw).data) for raw in sections),
        bar=bar,
        goal=goal,
    )
