"""Group 05: learning-rate and momentum schedules, and the loop under a fake wall clock."""

from __future__ import annotations

from typing import Any, cast

import torch

from recur.config import ModelConfig, OptimConfig, Recipe, TrainConfig
from recur.data.loader import Batch
from recur.evaluate.bpb import Score
from recur.model.gpt import GPT
from recur.optim.ema import Ema
from recur.optim.schedule import lr_multiplier, muon_momentum
from recur.train.clock import Clock
from recur.train.loop import TrainingLoop
from recur.train.ranks import Ranks
from recur.train.step import Stepper, StepStats
from tests.conformance.base import Case, Context, Vectors, exact, within

EXACT = 1e-12


def check(vectors: Vectors, context: Context) -> list[Case]:
    info = vectors.info
    h = info["hyperparameters"]
    cases = [within(f"lr {p['frac']}", _multiplier(p["frac"], h), p["value"], absolute=EXACT) for p in info["lr_multiplier"]]
    for alternative in info.get("lr_multiplier_alternatives", []):
        other = h | {k: alternative[k] for k in ("warmdown_frac", "min_lr") if k in alternative}
        for p in alternative.get("points", alternative.get("values", [])):
            cases.append(within(f"lr alternative {p['frac']}", _multiplier(p["frac"], other), p["value"], absolute=EXACT))
    for p in info["muon_momentum"]:
        value = muon_momentum(
            p["step"],
            start=h["muon_momentum_warmup_start"],
            final=h["muon_momentum"],
            warmup_steps=h["muon_momentum_warmup_steps"],
        )
        cases.append(within(f"momentum {p['step']}", value, p["value"], absolute=EXACT))
    return cases + _wallclock(info, h) + _by_step(info, h)


def _multiplier(frac: float, h: dict[str, Any]) -> float:
    return lr_multiplier(frac, warmdown_frac=h["warmdown_frac"], min_frac=h["min_lr"])


class NoTraining:
    """Stands for the stepper: keeps the multipliers, trains nothing."""

    def __init__(self, model: GPT) -> None:
        self.model, self.ranks, self.accum, self.device = model, Ranks(), 1, torch.device("cpu")
        self.multipliers: list[float] = []
        self.active: list[bool] = []

    def step(self, batches: object, *, multiplier: float, momentum: float) -> StepStats:
        self.multipliers.append(multiplier)
        self.active.append(self.model.recurrence_active)
        return StepStats(loss_nats=torch.zeros(()), grad_norm=torch.zeros(()))

    def finish(self) -> None:
        pass


class NoData:
    """Stands for the loader."""

    def next_batch(self) -> Batch:
        return Batch(x_BT=torch.zeros(1, 1).long(), y_BT=torch.zeros(1, 1).long())


def _run(h: dict[str, Any], train: TrainConfig, clock: Clock) -> tuple[NoTraining, int]:
    shape = ModelConfig(vocab_size=8, layers=4, width=8, embedding_width=8, heads=2, kv_heads=1, rope_dims=4, train_seq_len=4,
                        value_embedding_width=0, value_embedding_layers=(), recurrent_layers=(1,), parallel_from_layer=3,
                        xsa_last_layers=4)  # fmt: skip
    optim = OptimConfig(warmdown_frac=h["warmdown_frac"], min_lr_frac=h["min_lr"])
    recipe = Recipe(profile="golden", model=shape, optim=optim, train=train)
    stepper = NoTraining(GPT(shape))
    ema = Ema(stepper.model, 0.9)
    loop = TrainingLoop(recipe, cast(Stepper, stepper), ema, NoData(), lambda: Score(nats=1.0, tokens=1, bytes=1), clock, None)
    return stepper, loop.run().steps


def _wallclock(info: dict[str, Any], h: dict[str, Any]) -> list[Case]:
    golden = info.get("wallclock_simulation")
    if not golden:
        return []
    tick_s = golden["elapsed_ms_by_step"][0] / 1000
    reads = iter(range(1_000_000))
    clock = Clock(lambda: next(reads) * tick_s)
    train = TrainConfig(
        steps=1000, wallclock_s=golden["budget_ms"] / 1000 + 10, calibration_reserve_s=10.0, val_every=0, warmup_steps=0
    )
    stepper, steps = _run(h, train, clock)
    return [
        exact("wallclock steps", steps, golden["steps_run"]),
        within("wallclock multipliers", stepper.multipliers, golden["lr_multiplier_by_step"], absolute=1e-9),
    ]


def _by_step(info: dict[str, Any], h: dict[str, Any]) -> list[Case]:
    golden = info.get("step_mode_run")
    if not golden:
        return []
    switch = golden["recurrence_switched_on_before_step_index"]
    train = TrainConfig(steps=golden["iterations"], wallclock_s=0.0, val_every=0, recurrence_start_step=switch)
    stepper, _ = _run(h, train, Clock())
    return [
        within("step-mode multipliers", stepper.multipliers, golden["lr_multiplier_by_step"], absolute=EXACT),
        exact("recurrence switch", stepper.active.index(True), switch),
    ]
