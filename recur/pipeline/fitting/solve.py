"""``artifact.fit = "solve"``: our own way: steps of equal slope, one multiplier solved so that the container fills the cap.

Each trial rounds every weight at its multiplier (one item a weight) and codes every section (one item a section); the search
itself is `recur.pipeline.filling`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from recur.artifact.container import describe
from recur.artifact.sections import Section
from recur.config import ArtifactConfig
from recur.errors import BudgetUnreachable
from recur.pipeline.filling import CodeItem, Pieces, Search, code_item
from recur.pipeline.gridding import (
    RoundItem,
    load_index,
    prepare_item,
    prepare_items,
    round_item,
    rounded_model,
    save_index,
)
from recur.pipeline.work import Fitted, Quantized, Work
from recur.quantize.fitting.solve import Solved
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
    search = Search(work.recipe.artifact, _pieces(work))
    try:
        solved = search.run()
    except BudgetUnreachable as error:
        return Fitted(blob=b"", unreachable=str(error))
    blob = search.blobs[solved.best.log2_multiplier]
    return Fitted(blob=blob, fields=_fields(solved, blob, work.recipe.artifact))


def _pieces(work: Work) -> Pieces:
    """The fit's pieces: every weight of a trial is one item, every section is one."""
    index, block_columns = load_index(work.folder), work.recipe.quantize.block_columns

    def rounded(log2_multiplier: float, trial: int) -> QuantizedModel:
        items = [
            RoundItem(folder=work.folder, weight=w, log2_multiplier=log2_multiplier, block_columns=block_columns)
            for w in index.weights
        ]
        names = [f"round[seed={work.seed} {w.parameter.removesuffix('.weight')} trial {trial}]" for w in index.weights]
        return rounded_model(work.folder, index, work.map(round_item, items, names))

    def coded(items: Sequence[CodeItem], trial: int) -> list[Section]:
        names = [f"code[seed={work.seed} {item.raw.shape.role} trial {trial}]" for item in items]
        return work.map(code_item, items, names)

    return Pieces(
        spread=total(w.spread for w in index.weights),
        passed=rounded_model(work.folder, index.passed_only(), ()),
        rounded=rounded,
        coded=coded,
        say=work.say,
    )


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
