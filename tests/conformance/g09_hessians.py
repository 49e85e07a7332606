"""Group 09: calibration Hessians with and without recurrence (REFERENCE 8.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from recur.data.loader import Batch
from recur.model.gpt import GPT
from recur.quantize.hessian import collect_hessians, hessian_names
from recur.recipe import load_recipe
from tests.conformance.base import Array, Case, Context, Vectors, exact, within
from tests.conformance.configs import model_config_from_golden

RELATIVE_TO_MAX = 2e-5


def check(vectors: Vectors, context: Context) -> list[Case]:
    """All of group 09."""
    del context
    return [case for name, facts in vectors.info["cases"].items() for case in _case(vectors, name, facts)]


def golden_model(vectors: Vectors) -> GPT:
    """The group's model in float32, with its parameters."""
    model = GPT(model_config_from_golden(vectors.info["config"]))
    model.load_state_dict({k: torch.from_numpy(v) for k, v in vectors.below("param/").items()})
    return model


def golden_batches(ids: Array) -> list[Batch]:
    """Calibration batches from token ids ``[batch, sequence, T]``; the targets are not used."""
    tokens = torch.from_numpy(ids).long()
    return [Batch(x_BT=x_BT, y_BT=x_BT) for x_BT in tokens]


def _case(vectors: Vectors, name: str, facts: dict[str, Any]) -> Iterator[Case]:
    threshold = vectors.info.get("threshold_numel_greater_than", vectors.info["record_threshold"])
    cfg = replace(load_recipe("record_1421").quantize, passthrough_numel=threshold)
    model = golden_model(vectors)
    model.set_recurrence(facts["recurrence_active"])
    names = hessian_names({k: v.shape for k, v in model.state_dict().items()}, cfg)
    batches = golden_batches(vectors.arrays["batches_input_ids"])
    sums = collect_hessians(model, batches, count=vectors.info["n_calibration_batches"], names=names, device="cpu")
    mine = sums.mean()
    yield exact(f"{name} layers", sorted(mine), sorted(facts["layers_in_hook_order"]))
    for layer, golden in vectors.below(f"{name}/").items():
        yield within(f"{name} {layer}", mine[layer].numpy(), golden, relative_to_max=RELATIVE_TO_MAX)
    for layer, trace in facts["trace"].items():
        yield within(f"{name} trace {layer}", float(mine[layer].trace()), trace, relative_to_max=RELATIVE_TO_MAX)
