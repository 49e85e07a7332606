"""Filling the cap: the trials of one fit, each rounded at its multiplier, coded section by section and put together.

The first trial tries all coders for a section and later ones keep its winner: which coder is best does not change with a
per cent of step. Where rounding and coding run is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recur.artifact.container import write_container
from recur.artifact.layout import Role
from recur.artifact.sections import RawSection, Section, encode_section, split
from recur.config import ArtifactConfig
from recur.quantize.fitting.solve import Budget, Solved, Trial, solve
from recur.quantize.grid.estimate import SpreadHistogram
from recur.quantize.tensors import QuantizedModel


@dataclass(frozen=True, kw_only=True)
class CodeItem:
    """One section to code: by the named coder, or by the best of all."""

    raw: RawSection
    coder: str | None


def code_item(item: CodeItem) -> Section:
    """Code one section."""
    return encode_section(item.raw) if item.coder is None else encode_section(item.raw, (item.coder,))


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """What a fit is made of.

    Attributes:
        spread: how the bytes of all codes depend on the multiplier.
        passed: the model's tensors without codes alone.
        rounded: the whole model at a log2 multiplier; with the number of the trial, from 1.
        coded: the sections of some items, in order; with the number of the trial.
        say: told of every trial.
    """

    spread: SpreadHistogram
    passed: QuantizedModel
    rounded: Callable[[float, int], QuantizedModel]
    coded: Callable[[Sequence[CodeItem], int], list[Section]]
    say: Callable[[str, dict[str, float | int | str]], None]


class Search:
    """The trials of one fit; `run` is the whole story."""

    def __init__(self, cfg: ArtifactConfig, pieces: Pieces) -> None:
        self.cfg, self.pieces = cfg, pieces
        self.coders: dict[Role, str] = {}
        self.blobs: dict[float, bytes] = {}

    def run(self) -> Solved:
        """Solve for the multiplier; the container of every trial is in ``blobs``.

        Raises:
            BudgetUnreachable: see `recur.quantize.fitting.solve`.
        """
        spread = self.pieces.spread
        return solve(
            lambda m: spread.bits(m) / 8,
            self.compress,
            budget=Budget.of(self.cfg),
            fixed_bytes=self.cfg.code_bytes + self.passed_bytes(),
            search=spread.support(),
        )

    def passed_bytes(self) -> int:
        """Coded bytes of what has no codes."""
        return sum(len(encode_section(raw).data) for raw in split(self.pieces.passed))

    def compress(self, log2_multiplier: float) -> Trial:
        """Round, code and assemble at one multiplier."""
        trial = len(self.blobs) + 1
        model = self.pieces.rounded(log2_multiplier, trial)
        items = [CodeItem(raw=raw, coder=self.coders.get(raw.shape.role)) for raw in split(model)]
        sections = self.pieces.coded(items, trial)
        self.coders = {section.role: section.coder for section in sections if section.role.holds_codes}
        blob = write_container(model, sections)
        self.blobs[log2_multiplier] = blob
        total_bytes = len(blob) + self.cfg.code_bytes
        self.pieces.say("fit", {"trial": trial, "log2_multiplier": log2_multiplier, "total_bytes": total_bytes})
        coded_bytes = sum(len(section.data) for section in sections if section.role.holds_codes)
        return Trial(log2_multiplier=log2_multiplier, coded_bytes=coded_bytes, total_bytes=total_bytes)
