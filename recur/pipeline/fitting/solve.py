"""``artifact.fit = "solve"``: our own way: steps of equal slope, one multiplier solved so that the container fills the cap.

Each trial rounds every weight at its multiplier (one item a weight) and codes every section (one item a section). The first
trial tries all coders for a section and later ones keep its winner: which coder is best does not change with a per cent of step.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from recur.artifact.container import describe, write_container
from recur.artifact.layout import Role
from recur.artifact.sections import RawSection, Section, encode_section, split
from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable
from recur.pipeline.gridding import (
    GridIndex,
    RoundItem,
    load_index,
    prepare_item,
    prepare_items,
    round_item,
    rounded_model,
    save_index,
)
from recur.pipeline.work import Fitted, Quantized, Work
from recur.quantize.fitting.solve import Budget, Solved, Trial, solve
from recur.quantize.grid.estimate import total
from recur.quantize.tensors import QuantizedModel
from recur.record.codec import to_json
from recur.train.checkpoint import load_trained


def quantize(work: Work) -> Quantized:
    """Every weight prepared: factor, shape of the steps, how its bytes depend on the multiplier."""
    trained = load_trained(work.folder)
    items = prepare_items(trained, work.recipe, work.folder)
    names = [f"gptq[seed={work.seed} {item.job.name}]" for item in items]
    index = save_index(trained, work.map(prepare_item, items, names), work.recipe.quantize, work.folder)
    methods = {**Counter(weight.method for weight in index.weights), "passthrough": len(index.passed)}
    return Quantized(fields={"methods": methods}, payloads=index.payloads)


def fit(work: Work) -> Fitted:
    """The container that fills the cap."""
    search = Search(work, load_index(work.folder))
    try:
        solved = search.run()
    except BudgetUnreachable as error:
        return Fitted(blob=b"", unreachable=str(error))
    blob = search.blobs[solved.best.log2_multiplier]
    return Fitted(blob=blob, fields=_fields(solved, blob, work.recipe.artifact))


class Search:
    """The trials of one fit; `run` is the whole story."""

    def __init__(self, work: Work, index: GridIndex) -> None:
        self.work, self.index = work, index
        self.cfg = work.recipe.artifact
        self.spread = total(w.spread for w in index.weights)
        self.coders: dict[Role, str] = {}
        self.blobs: dict[float, bytes] = {}

    def run(self) -> Solved:
        """Solve for the multiplier.

        Raises:
            BudgetUnreachable: see `recur.quantize.fitting.solve`.
        """
        return solve(
            lambda m: self.spread.bits(m) / 8,
            self.compress,
            budget=Budget.of(self.cfg),
            fixed_bytes=self.cfg.code_bytes + self.passed_bytes(),
            search=self.spread.support(),
        )

    def passed_bytes(self) -> int:
        """Coded bytes of what has no codes."""
        model = rounded_model(self.work.folder, self.index.passed_only(), ())
        return sum(len(encode_section(raw).data) for raw in split(model))

    def compress(self, log2_multiplier: float) -> Trial:
        """Round, code and assemble at one multiplier."""
        trial = len(self.blobs) + 1
        model = self._rounded(log2_multiplier, trial)
        sections = self._coded(split(model), trial)
        blob = write_container(model, sections)
        self.blobs[log2_multiplier] = blob
        total_bytes = len(blob) + self.cfg.code_bytes
        self.work.say("fit", {"trial": trial, "log2_multiplier": log2_multiplier, "total_bytes": total_bytes})
        coded_bytes = sum(len(section.data) for section in sections if section.role.holds_codes)
        return Trial(log2_multiplier=log2_multiplier, coded_bytes=coded_bytes, total_bytes=total_bytes)

    def _rounded(self, log2_multiplier: float, trial: int) -> QuantizedModel:
        block_columns = self.work.recipe.quantize.block_columns
        items = [
            RoundItem(folder=self.work.folder, weight=w, log2_multiplier=log2_multiplier, block_columns=block_columns)
            for w in self.index.weights
        ]
        names = [f"round[seed={self.work.seed} {w.parameter.removesuffix('.weight')} trial {trial}]" for w in self.index.weights]
        return rounded_model(self.work.folder, self.index, self.work.map(round_item, items, names))

    def _coded(self, raws: list[RawSection], trial: int) -> list[Section]:
        items = [CodeItem(raw=raw, coder=self.coders.get(raw.shape.role)) for raw in raws]
        names = [f"code[seed={self.work.seed} {raw.shape.role} trial {trial}]" for raw in raws]
        sections = self.work.map(code_item, items, names)
        self.coders = {section.role: section.coder for section in sections if section.role.holds_codes}
        return sections


@dataclass(frozen=True, kw_only=True)
class CodeItem:
    """One section to code: by the named coder, or by the best of all."""

    raw: RawSection
    coder: str | None


def code_item(item: CodeItem) -> Section:
    """Code one section."""
    return encode_section(item.raw) if item.coder is None else encode_section(item.raw, (item.coder,))


def _fields(solved: Solved, blob: bytes, cfg: ArtifactConfig) -> dict[str, Any]:
    """Fields of the phase's record."""
    return {
        "compressions": len(solved.trials),
        "in_window": solved.in_window,
        "log2_multiplier": solved.best.log2_multiplier,
        "slack_bytes": cfg.cap_bytes - solved.best.total_bytes,
        "trials": [to_json(trial) for trial in solved.trials],
        "sections": [to_json(section) for section in describe(blob).sections],
    }
