"""Our own profiles: what they change of the faithful ones, and that nothing else differs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from recur.data.dataset import Dataset
from recur.model.build import template_shapes
from recur.recipe import load_recipe, recipe_to_json
from recur.train.ranks import Ranks
from recur.train.run import train_seed
from tests.recipes import TINY

SAME_AT_BOTH_SIZES = {
    "evaluate.counted_rows_only": True,
    "model.dead_skips": False,
    "model.value_embedding_layers": [],
    "model.recurrent_layers": [3, 4, 5],
    "optim.muon_momentum": 0.97,
    "optim.matrix_lr": 0.026,
    "optim.matrix_weight_decay": 0.095,
    "optim.warmdown_frac": 0.72,
    "optim.frozen_projections": False,
    "train.precompile_recurrence": True,
    "quantize.hessian_ranks": "all",
    "quantize.fisher_batches": 4,
    "quantize.candidate_error": "hessian",
    "quantize.scale_floor": False,
    "quantize.unrounded_table_scale": False,
    "artifact.fit": "solve",
}


def leaves(profile: str) -> dict[str, Any]:
    tree = json.loads(recipe_to_json(load_recipe(profile)))
    flat: dict[str, Any] = {}
    stack = [("", tree)]
    while stack:
        prefix, node = stack.pop()
        for key, value in node.items():
            if isinstance(value, dict):
                stack.append((f"{prefix}{key}.", value))
            else:
                flat[prefix + key] = value
    return flat


def departures(profile: str, base: str) -> dict[str, Any]:
    ours, theirs = leaves(profile), leaves(base)
    return {key: value for key, value in ours.items() if value != theirs[key] and key != "profile"}


@pytest.mark.parametrize(
    ("profile", "base", "own"),
    [
        ("recur", "record_1421", {
            "train.recurrence_start_step": 2000,
            "train.prefetch": True,
            "train.lagged_vote": True,
            "model.fused_qkv": True,
            "quantize.calibration_batches": 8,
            "artifact.code_bytes": 0,
            "artifact.code_bytes_source": "bundle",
        }),
        ("smoke_recur", "smoke", {
            "train.recurrence_start_step": 40,
            "quantize.calibration_batches": 4,
            "artifact.code_bytes": 0,
            "artifact.code_bytes_source": "bundle",
        }),
    ],
)  # fmt: skip
def test_a_profile_of_ours_departs_in_the_named_options_only(profile: str, base: str, own: dict[str, Any]) -> None:
    assert departures(profile, base) == SAME_AT_BOTH_SIZES | own


def test_the_scale_rule_is_the_same_at_both_sizes() -> None:
    large, small = load_recipe("recur").quantize, load_recipe("smoke_recur").quantize
    for name in ("scale_rule", "slope_exponent", "step_layout"):
        assert getattr(large, name) == getattr(small, name)


def test_smoke_recur_has_the_cap_and_the_text_of_smoke() -> None:
    ours, theirs = load_recipe("smoke_recur"), load_recipe("smoke")
    assert ours.artifact.cap_bytes == theirs.artifact.cap_bytes
    assert (ours.data, replace(ours.evaluate, counted_rows_only=False)) == (theirs.data, theirs.evaluate)


@pytest.mark.parametrize("profile", ["recur", "smoke_recur"])
def test_calibration_reads_as_many_tokens_as_the_faithful_profile_of_one_rank(profile: str) -> None:
    ours, theirs = load_recipe(profile), load_recipe({"recur": "record_1421"}.get(profile, "smoke"))
    assert ours.quantize.calibration_batches * ours.cluster.workers == theirs.quantize.calibration_batches


def test_the_record_without_value_embedding_has_33_84_million_parameters() -> None:
    shapes = template_shapes(load_recipe("recur").model)
    assert not [name for name in shapes if name.startswith("ve_")]
    table, projection, scales = 4096 * 128, 256 * 128, 3
    assert sum(map(math.prod, shapes.values())) == 34_401_372 - table - projection - scales == 33_844_313


def test_smoke_recur_trains_at_tiny_dimensions(tiny_dataset: Dataset) -> None:
    wide = [value for value in TINY if not value.startswith("model.value_embedding")]
    recipe = load_recipe("smoke_recur", [*wide, "quantize.fisher_batches=1", "train.peak_tflops=1.0"])
    trained = train_seed(recipe, 7, tiny_dataset, ranks=Ranks(), device=torch.device("cpu"))
    assert trained.summary.steps == 6 and trained.summary.recurrence_active
    assert not [name for name in trained.ema if name.startswith("ve_")]
    start = trained.summary.first_val_bpb
    assert start is not None and trained.summary.last_step_bpb < start
