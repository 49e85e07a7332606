"""Group 10: selective pruning with ties (REFERENCE 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from recur.config import ArtifactConfig
from recur.quantize.fitting.prune import fit
from recur.quantize.prune import candidate_count, prune
from recur.quantize.tensors import QuantizedModel
from recur.recipe import load_recipe
from tests.conformance.base import Case, Context, Vectors, exact


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All of group 10."""
    del context
    info = vectors.info
    model = _model(vectors)
    cfg = replace(load_recipe("record_1421").artifact, cap_bytes=info["target_bytes"], code_bytes=0)
    cases = [exact("candidates", candidate_count(model), info["candidates"])]
    cases.extend(_order(model, info.get("full_sorted_order", [])))
    for facts in info["cases"]:
        cases.extend(_case(vectors, model, facts, cfg))
    return cases


def _model(vectors: Vectors) -> QuantizedModel:
    entries = {k: torch.from_numpy(v) for k, v in vectors.below("in/").items()}
    return QuantizedModel(entries=entries, meta={n: vectors.info["meta_entries"][n] for n in vectors.info["insertion_order"]})


def _order(model: QuantizedModel, golden: list[list[Any]]) -> Iterator[Case]:
    """Prune one more code each time: the code that goes is the next of the reference's order."""
    before = model
    for place, (key, index, cost) in enumerate(golden, start=1):
        after = prune(model, place).model
        yield exact(f"order {place}", _zeroed(before, after), [f"{key}:{index}"])
        name = key.removesuffix(".q")
        row = index // model.entries[key].shape[1]
        yield exact(f"cost {place}", float(model.entries[f"{name}.scale"][row].float().square()), cost)
        before = after


def _case(vectors: Vectors, model: QuantizedModel, facts: dict[str, Any], cfg: ArtifactConfig) -> Iterator[Case]:
    excess = facts["excess_bytes"]
    sizes = iter((cfg.cap_bytes + excess, cfg.cap_bytes))
    result = fit(model, cfg, lambda model, cfg: bytes(next(sizes)))
    yield exact(f"excess {excess} pruned", result.pruned, facts["n_pruned"])
    indices = [f"{key}:{i}" for key, flat in facts["pruned_flat_indices"].items() for i in flat]
    yield exact(f"excess {excess} indices", sorted(_zeroed(model, result.model)), sorted(indices))
    for key, golden in vectors.below(f"after_excess_{excess}/").items():
        yield exact(f"excess {excess} {key}", result.model.entries[key].numpy(), golden)


def _zeroed(before: QuantizedModel, after: QuantizedModel) -> list[str]:
    changed = {k: (before.entries[k] != after.entries[k]).flatten().nonzero().flatten() for k in before.entries}
    return [f"{key}:{int(i)}" for key, indices in changed.items() for i in indices]
