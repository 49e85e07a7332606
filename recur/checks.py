"""What the values of a recipe must satisfy together; each failed rule is one line (value, rule, remedy)."""

from __future__ import annotations

from recur.components import check_component
from recur.config import Recipe
from recur.errors import RecipeError


def _require(holds: bool, value: str, rule: str, remedy: str) -> None:
    if not holds:
        raise RecipeError(value, rule, remedy)


def _nearest(value: int, unit: int) -> int:
    return max(unit, round(value / unit) * unit)


def check_recipe(recipe: Recipe) -> None:
    """Check the whole recipe.

    Raises:
        RecipeError: the first rule that is broken.
    """
    _check_model(recipe)
    _check_depth(recipe)
    _check_batches(recipe)
    _check_clock(recipe)
    _check_components(recipe)


def _check_model(recipe: Recipe) -> None:
    m = recipe.model
    _require(
        m.width % m.heads == 0,
        f"model.width={m.width}",
        f"must be a multiple of model.heads={m.heads}",
        f"nearest: {_nearest(m.width, m.heads)}",
    )
    _require(
        m.heads % m.kv_heads == 0,
        f"model.kv_heads={m.kv_heads}",
        f"must divide model.heads={m.heads}",
        f"use {m.heads} or one of its divisors",
    )
    head = m.width // m.heads
    rotary = m.rope_dims or head
    _require(
        rotary % 2 == 0 and rotary <= head,
        f"model.rope_dims={m.rope_dims}",
        f"must be even and at most the head width {head}",
        "0 means the whole head",
    )
    _require(
        m.xsa_last_layers <= m.layers,
        f"model.xsa_last_layers={m.xsa_last_layers}",
        f"must be at most model.layers={m.layers}",
        f"use {m.layers} for all",
    )
    eval_longer = recipe.evaluate.seq_len > m.train_seq_len
    _require(
        not (eval_longer and rotary == 2),
        "model.rope_dims=2",
        "has no NTK scaling for evaluate.seq_len > model.train_seq_len",
        "use 4 or more",
    )


def _check_depth(recipe: Recipe) -> None:
    m = recipe.model
    for name, layers in (
        ("recurrent_layers", m.recurrent_layers),
        ("value_embedding_layers", m.value_embedding_layers),
    ):
        fine = all(layer < m.layers for layer in layers) and sorted(set(layers)) == list(layers)
        _require(
            fine,
            f"model.{name}={list(layers)}",
            f"must be rising layer indices below model.layers={m.layers}",
            "e.g. [4, 5]",
        )
    _require(
        m.parallel_from_layer < m.layers,
        f"model.parallel_from_layer={m.parallel_from_layer}",
        f"must be below model.layers={m.layers}",
        "0 switches the lanes off",
    )


def _check_batches(recipe: Recipe) -> None:
    t, m, c = recipe.train, recipe.model, recipe.cluster
    unit = m.train_seq_len * t.micro_batches
    _require(
        t.batch_tokens % unit == 0,
        f"train.batch_tokens={t.batch_tokens}",
        f"must be a multiple of model.train_seq_len*train.micro_batches={unit}",
        f"nearest: {_nearest(t.batch_tokens, unit)}",
    )
    _require(
        t.micro_batches % c.workers == 0,
        f"cluster.workers={c.workers}",
        f"must divide train.micro_batches={t.micro_batches}",
        f"use one of {', '.join(str(n) for n in range(1, t.micro_batches + 1) if t.micro_batches % n == 0)}",
    )
    e = recipe.evaluate
    _require(
        e.stride <= e.seq_len,
        f"evaluate.stride={e.stride}",
        f"must be at most evaluate.seq_len={e.seq_len}",
        f"use {e.seq_len} or less",
    )
    _require(
        e.val_batch_tokens >= e.seq_len,
        f"evaluate.val_batch_tokens={e.val_batch_tokens}",
        f"must hold one sequence of evaluate.seq_len={e.seq_len}",
        f"use at least {e.seq_len}",
    )


def _check_clock(recipe: Recipe) -> None:
    t, c = recipe.train, recipe.cluster
    _require(
        t.wallclock_s == 0 or t.calibration_reserve_s < t.wallclock_s,
        f"train.calibration_reserve_s={t.calibration_reserve_s:g}",
        f"must be below train.wallclock_s={t.wallclock_s:g}",
        "0 as wallclock_s means no clock",
    )
    _require(
        c.gpus_per_worker > 0 or c.backend == "gloo",
        f"cluster.backend={c.backend!r}",
        "needs GPUs",
        "use cluster.backend=gloo with cluster.gpus_per_worker=0",
    )
    _require(
        (c.gpus_per_worker > 0 and c.placement == "STRICT_PACK") or not c.overlap,
        "cluster.overlap=true",
        "needs GPUs and placement STRICT_PACK: the next seed trains on the node that a seed leaves",
        "leave it off",
    )
    _require(
        recipe.artifact.code_bytes < recipe.artifact.cap_bytes,
        f"artifact.code_bytes={recipe.artifact.code_bytes}",
        f"must be below artifact.cap_bytes={recipe.artifact.cap_bytes}",
        "the rest is the model's",
    )


def _check_components(recipe: Recipe) -> None:
    check_component("recur.model.blocks", recipe.model.block)
    check_component("recur.model.skips", recipe.model.skip)
    check_component("recur.optim.matrix", recipe.optim.matrix)
    check_component("recur.quantize.matrix", recipe.quantize.matrix)
    check_component("recur.quantize.rules", recipe.quantize.scale_rule)
    check_component("recur.pipeline.fitting", recipe.artifact.fit)
    for mode in recipe.evaluate.modes:
        check_component("recur.evaluate.modes", mode)
    _check_fit(recipe)


def _check_fit(recipe: Recipe) -> None:
    q, ours = recipe.quantize, recipe.artifact.fit == "solve"
    _require(
        not ours or q.scale_rule != "slope" or q.fisher_batches > 0,
        f"quantize.fisher_batches={q.fisher_batches}",
        "must be positive for quantize.scale_rule=slope",
        "use 4, or another rule",
    )
