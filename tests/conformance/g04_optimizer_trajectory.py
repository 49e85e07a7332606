"""Group 04: the complete training loop (warm-up reset, clipping, schedules, recurrence switch, EMA) on given batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from recur.config import Recipe, TrainConfig
from recur.data.loader import Batch, WindowLoader
from recur.evaluate.bpb import Score
from recur.model.gpt import GPT
from recur.optim.ema import Ema
from recur.optim.optimizers import Optimizers
from recur.train.clock import Clock
from recur.train.loop import TrainingLoop
from recur.train.ranks import Ranks
from recur.train.step import Stepper, StepStats
from recur.train.warmup import warm_up
from tests.conformance.base import Array, Case, Context, Vectors, rel_l2, within
from tests.conformance.configs import model_config_from_golden, optim_config_from_golden


class StoredBatches:
    """The group's batches as a loader: step by step, each split into micro-batches."""

    def __init__(self, batches: Array, accum: int) -> None:
        self._micro = [m for step in batches for m in torch.tensor(step).long().chunk(accum)]
        self._next = 0

    def next_batch(self) -> Batch:
        tokens = self._micro[self._next % len(self._micro)]
        self._next += 1
        return Batch(x_BT=tokens[:, :-1], y_BT=tokens[:, 1:])

    def cursor(self) -> dict[str, Any]:
        return {"next": self._next}


class RecordingStepper(Stepper):
    """Keeps what each step saw and did."""

    after: Callable[[int], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[tuple[StepStats, float, float]] = []

    def step(self, batches: Any, *, multiplier: float, momentum: float) -> StepStats:
        stats = super().step(batches, multiplier=multiplier, momentum=momentum)
        self.seen.append((stats, multiplier, momentum))
        return stats


def check(vectors: Vectors, context: Context) -> list[Case]:
    return [case for name in vectors.info["runs"] for case in _check_run(vectors, name)]


def recipe_from(vectors: Vectors, dtype: str, accum: int) -> Recipe:
    config = vectors.info["config"]
    optim = optim_config_from_golden(config)
    return Recipe(
        profile="golden",
        model=model_config_from_golden(config),
        optim=dataclasses.replace(optim, newton_schulz_dtype="fp32" if dtype == "fp32" else "bf16"),
        train=TrainConfig(
            steps=config["iterations"],
            wallclock_s=0.0,
            warmup_steps=config["warmup_steps"],
            micro_batches=accum,
            recurrence_start_step=config["recur_start_step"],
            val_every=0,
            precision="fp32",
            compile=False,
        ),
    )


def _check_run(vectors: Vectors, name: str) -> list[Case]:
    _, dtype, accum_text = name.split("_")
    accum = int(accum_text.removeprefix("ga"))
    recipe = recipe_from(vectors, dtype, accum)
    torch.manual_seed(0)
    model = GPT(recipe.model)
    shapes = {key: t.shape for key, t in model.state_dict().items()}
    model.load_state_dict({k: torch.tensor(v).reshape(shapes[k]) for k, v in vectors.below("init/").items()})
    optimizers = Optimizers(model, recipe.optim, Ranks())
    stepper = RecordingStepper(model, model.loss, optimizers, Ranks(), precision="fp32", accum=accum)

    def make() -> WindowLoader:
        return cast(WindowLoader, StoredBatches(vectors.arrays["batches"], accum))

    warm_up(stepper, make, steps=recipe.train.warmup_steps, deep_steps=0, momentum=lambda _: recipe.optim.muon_momentum)
    stepper.seen.clear()
    ema = Ema(model, recipe.optim.ema_decay)
    snapshots: dict[int, dict[str, Tensor]] = {}
    loop = TrainingLoop(
        recipe,
        stepper,
        _Snapshotting(ema, model, snapshots),
        make(),
        lambda: Score(nats=1.0, tokens=1, bytes=1),
        Clock(),
        None,
    )
    loop.run()
    cases = _numbers(vectors, name, stepper, recipe, tight=dtype == "fp32")
    return cases + _weights(vectors, name, model, ema, snapshots, tight=dtype == "fp32")


class _Snapshotting(Ema):
    """An EMA that also keeps the weights after the first step."""

    def __init__(self, ema: Ema, model: GPT, snapshots: dict[int, dict[str, Tensor]]) -> None:
        self._ema, self._model, self._snapshots = ema, model, snapshots

    def update(self) -> None:
        self._ema.update()
        if not self._snapshots:
            self._snapshots[1] = {k: t.clone() for k, t in self._model.state_dict().items()}


def _numbers(vectors: Vectors, name: str, stepper: RecordingStepper, recipe: Recipe, *, tight: bool) -> list[Case]:
    golden, optim = vectors.info["runs"][name], recipe.optim
    losses = [float(stats.loss_nats) for stats, _, _ in stepper.seen]
    norms = [float(stats.grad_norm) for stats, _, _ in stepper.seen]
    cases = [
        within(f"{name} train_loss", losses, golden["train_loss"], absolute=1e-5 if tight else 3e-3),
        within(f"{name} momentum", [m for _, _, m in stepper.seen], golden["muon_momentum"], absolute=1e-12),
    ]
    for key, base in (("lr_token", optim.token_lr), ("lr_muon", optim.matrix_lr), ("lr_scalar", optim.scalar_lr)):
        mine = [base * multiplier for _, multiplier, _ in stepper.seen]
        cases.append(within(f"{name} {key}", mine, [lr[0] for lr in golden[key]], absolute=1e-12))
    if tight:
        cases.append(within(f"{name} grad_norm", norms, golden["grad_norm_before_clip"], relative_to_max=1e-5))
    return cases


def _weights(
    vectors: Vectors, name: str, model: GPT, ema: Ema, snapshots: dict[int, dict[str, Tensor]], *, tight: bool
) -> list[Case]:
    sets = {"final": model.state_dict(), "ema": ema.state(), "after_step_1": snapshots[1]}
    cases: list[Case] = []
    for kind, mine in sets.items():
        for key, golden in vectors.below(f"{name}/{kind}/").items():
            value = mine[key].reshape(golden.shape)
            if tight:
                cases.append(within(f"{name}/{kind}/{key}", value, golden, absolute=2e-5))
            else:
                cases.append(rel_l2(f"{name}/{kind}/{key}", value, golden, 0.02))
    return cases
