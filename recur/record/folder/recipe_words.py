"""A recipe in words, generated from its values: what sets it apart from the reference's, and its methods in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from recur.config import Recipe
from recur.recipe import load_recipe, recipe_to_json

REFERENCE = "record_1421"
"""The profile that reproduces the reference run, openai/parameter-golf PR #1421."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One key whose value is not the reference's; both as JSON."""

    key: str
    value: str
    reference: str


def differences(recipe: Recipe, reference: str = REFERENCE) -> tuple[Difference, ...]:
    """Every key of the recipe that another profile sets otherwise, in the recipe's order; the profile's name apart."""
    theirs = _flat(json.loads(recipe_to_json(load_recipe(reference))))
    ours = _flat(json.loads(recipe_to_json(recipe)))
    return tuple(
        Difference(key=key, value=json.dumps(value), reference=json.dumps(theirs.get(key)))
        for key, value in ours.items()
        if key != "profile" and value != theirs.get(key)
    )


def technique_summary(recipe: Recipe) -> str:
    """The methods in one line."""
    model, optim, artifact = recipe.model, recipe.optim, recipe.artifact
    parts = [
        f"SP{model.vocab_size}",
        f"{model.layers}L width {model.width} MLP {model.mlp_mult:g}x",
        *_depth(recipe),
        f"XSA on the last {model.xsa_last_layers} layers" if model.xsa_last_layers else "",
        f"value embeddings on layers {_list(model.value_embedding_layers)}" if model.value_embedding_layers else "",
        f"QK gain {model.qk_gain_init:g}",
        f"{optim.matrix} momentum {optim.muon_momentum:g} lr {optim.matrix_lr:g} wd {optim.matrix_weight_decay:g}",
        f"EMA {optim.ema_decay:g}",
        *_storage(recipe),
        f"cap {artifact.cap_bytes:,} bytes",
        f"evaluation {', '.join(recipe.evaluate.modes)} with stride {recipe.evaluate.stride}",
    ]
    return " + ".join(part for part in parts if part)


def calibration(recipe: Recipe) -> str:
    """The data that the quantizer was calibrated on."""
    batches = recipe.quantize.calibration_batches
    ranks = "each rank" if recipe.quantize.hessian_ranks == "all" else "rank 0"
    return f"training text, {batches} micro-batches of {ranks}, read on the training clock"


def _depth(recipe: Recipe) -> list[str]:
    model = recipe.model
    recurrence = f"layers {_list(model.recurrent_layers)} run twice from step {recipe.train.recurrence_start_step}"
    lanes = f"parallel residuals from layer {model.parallel_from_layer}" if model.parallel_from_layer < model.layers else ""
    return [recurrence if model.recurrent_layers else "", lanes]


def _storage(recipe: Recipe) -> list[str]:
    quantize, artifact = recipe.quantize, recipe.artifact
    if artifact.fit == "solve":
        rule = f"steps by {quantize.scale_rule} (exponent {quantize.slope_exponent:g}, per {quantize.step_layout})"
        return [f"{quantize.matrix} with {rule}", "one multiplier solved for the cap", "range coder"]
    return [f"{quantize.matrix} int6", f"fit by {artifact.fit}", artifact.compressor]


def _list(layers: tuple[int, ...]) -> str:
    return ",".join(map(str, layers))


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
