"""The training loop on the clock: schedules, validation off the clock, recurrence, EMA, stop vote (REFERENCE 7.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from recur.config import Recipe
from recur.data.loader import Batch
from recur.errors import RecurError
from recur.evaluate.bpb import Score
from recur.optim.ema import Ema
from recur.optim.schedule import lr_multiplier, muon_momentum
from recur.train.clock import Clock
from recur.train.flops import training_flops_per_token
from recur.train.step import Stepper, StepStats
from recur.train.votes import LaggedVotes

FIRST_LOGGED_STEPS = 5
Field = float | int | str


class Observer(Protocol):
    """Receives what happens; called on rank 0 only."""

    def event(self, kind: str, fields: dict[str, Field]) -> None: ...


class BatchSource(Protocol):
    """Anything that yields this rank's micro-batches."""

    def next_batch(self) -> Batch: ...


@dataclass(frozen=True, kw_only=True)
class LoopOutcome:
    """How training ended; ``train_s`` is on the clock, ``flops`` per rank over all steps."""

    steps: int
    train_s: float
    flops: float
    stop_reason: str
    first_val: Score | None
    last_val: Score


class TrainingLoop:
    """One pass from the first step to the stop.

    Args:
        recipe: schedules and lengths.
        stepper: does one step.
        ema: updated after every step.
        source: micro-batches of this rank.
        validate: scores the raw weights; called off the clock.
        clock: started by the caller.
        observer: told of progress (rank 0), or None.
    """

    def __init__(
        self,
        recipe: Recipe,
        stepper: Stepper,
        ema: Ema,
        source: BatchSource,
        validate: Callable[[], Score],
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        self.recipe, self.stepper, self.ema, self.source = recipe, stepper, ema, source
        self.validate, self.clock = validate, clock
        self.observer = observer if stepper.ranks.is_main else None
        self.budget_s = recipe.train.wallclock_s - recipe.train.calibration_reserve_s
        self.votes = LaggedVotes(stepper.ranks) if recipe.train.lagged_vote else stepper.ranks
        self.elapsed_s = 0.0
        self.flops = 0.0
        self.start = 0
        self.first_val: Score | None = None

    def run(self) -> LoopOutcome:
        """Train until the last step or the first one that ends beyond the budget on any rank."""
        cfg, step, stop_at = self.recipe.train, self.start, None
        train_s = 0.0
        while True:
            last = step == cfg.steps or step == stop_at
            self._maybe_activate(step)
            if last:
                self.stepper.finish()
                train_s = self.clock.elapsed_s()
            if last or (cfg.val_every and step % cfg.val_every == 0):
                val = self._validated(step)
                self.first_val = self.first_val or val
            if last:
                break
            stats = self._step(step)
            step += 1
            if cfg.wallclock_s and stop_at is None:
                self.elapsed_s = self.votes.max_float(self.clock.elapsed_s(), self.stepper.device)
                stop_at = step if self.elapsed_s >= self.budget_s else None
            self._after_step(step, stats, stopping=step == stop_at)
        return LoopOutcome(
            steps=step,
            train_s=train_s,
            flops=self.flops,
            stop_reason="wallclock" if step == stop_at else "steps",
            first_val=self.first_val,
            last_val=val,
        )

    def _maybe_activate(self, step: int) -> None:
        model = self.stepper.model
        wanted = step == self.recipe.train.recurrence_start_step and bool(self.recipe.model.recurrent_layers)
        if wanted and not model.recurrence_active:
            model.set_recurrence(True)
            layers = ",".join(str(layer) for layer in model.plans[True].virtual_layers)
            self._tell("recurrence", {"step": step, "virtual_layers": layers})

    def _validated(self, step: int) -> Score:
        with self.clock.paused():
            score = self.validate()
        self._tell("val", {"step": step, "val_loss": score.val_loss, "val_bpb": score.val_bpb})
        return score

    def _step(self, step: int) -> StepStats:
        optim, cfg = self.recipe.optim, self.recipe.train
        frac = self._elapsed_s() / self.budget_s if cfg.wallclock_s else step / cfg.steps
        stats = self.stepper.step(
            (self.source.next_batch() for _ in range(self.stepper.accum)),
            multiplier=lr_multiplier(frac, warmdown_frac=optim.warmdown_frac, min_frac=optim.min_lr_frac),
            momentum=muon_momentum(
                step,
                start=optim.muon_momentum_start,
                final=optim.muon_momentum,
                warmup_steps=optim.muon_momentum_warmup_steps,
            ),
        )
        self.ema.update()
        per_token = training_flops_per_token(self.recipe.model, recurrence=self.stepper.model.recurrence_active)
        self.flops += per_token * cfg.batch_tokens / self.stepper.ranks.world
        return stats

    def _elapsed_s(self) -> float:
        """Elapsed seconds of the slowest rank: with a clock of its own each rank would use another learning rate."""
        if self.recipe.train.lagged_vote:
            return self.elapsed_s
        return self.stepper.ranks.max_float(self.clock.elapsed_s(), self.stepper.device)

    def _after_step(self, step: int, stats: StepStats, *, stopping: bool) -> None:
        cfg = self.recipe.train
        if not (step <= FIRST_LOGGED_STEPS or step % cfg.log_every == 0 or stopping):
            return
        loss, grad_norm = float(stats.loss_nats), float(stats.grad_norm)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise RecurError(f"training diverged at step {step}: loss {loss}, gradient norm {grad_norm}")
        if self.observer is None:
            return
        elapsed_s = self.clock.elapsed_s()
        self._tell(
            "step",
            {
                "step": step,
                "steps": cfg.steps,
                "loss": loss,
                "grad_norm": grad_norm,
                "train_s": elapsed_s,
                "tokens_per_s": step * cfg.batch_tokens / elapsed_s,
                "flops_per_s": self.flops / elapsed_s,
            },
        )

    def _tell(self, kind: str, fields: dict[str, Field]) -> None:
        if self.observer is not None:
            self.observer.event(kind, fields)
