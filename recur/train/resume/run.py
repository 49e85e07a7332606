"""Training that goes on where it was killed: the loop that leaves checkpoints and the trainer that starts from the newest.

What a checkpoint holds is all that the next steps depend on: weights, optimizers, moving average, loader cursor, random
generators, clock and counters. On a CPU the run that was resumed ends bit for bit like the one that was not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from recur.data.loader import WindowLoader
from recur.errors import ArtifactError
from recur.evaluate.bpb import Score
from recur.optim.ema import Ema
from recur.train.checkpoint import Trained
from recur.train.clock import Clock
from recur.train.loop import TrainingLoop
from recur.train.resume.ahead import TrackedPrefetcher
from recur.train.resume.keeper import Keeper
from recur.train.resume.store import CheckpointStore
from recur.train.run import SeedTrainer
from recur.train.step import Stepper, StepStats
from recur.train.warmup import GeneratorStates

RESUMED = "resumed"
"""Event: training goes on from ``step``; what was told of later steps before it is void (`recur.record.journal`)."""


class ResumableLoop(TrainingLoop):
    """The loop, with a checkpoint after a step whenever the last one is older than the recipe allows."""

    def __init__(self, *args: Any, keeper: Keeper) -> None:
        super().__init__(*args)
        self.keeper = keeper
        self.saved_at_s = 0.0

    def _after_step(self, step: int, stats: StepStats, *, stopping: bool) -> None:
        super()._after_step(step, stats, stopping=stopping)
        for kind, fields in self.keeper.news():
            self._tell(kind, fields)
        if stopping or step == self.recipe.train.steps:
            return
        now_s = self.stepper.ranks.max_float(self.clock.elapsed_s(), self.stepper.device)
        if now_s - self.saved_at_s < self.recipe.train.checkpoint_every_s:
            return
        if self.stepper.ranks.max_float(float(self.keeper.busy), self.stepper.device):
            return
        self.saved_at_s = now_s
        self.keeper.begin(step, self._state(now_s))

    def _state(self, now_s: float) -> dict[str, Any]:
        """All that the next steps depend on; tensors are copies."""
        stepper, main = self.stepper, self.stepper.ranks.is_main
        assert isinstance(self.source, WindowLoader | TrackedPrefetcher)
        return {
            "clock_s": now_s,
            "flops": self.flops,
            "first_val": asdict(self.first_val) if self.first_val else None,
            "recurrence": stepper.model.recurrence_active,
            "loader": copy.deepcopy(self.source.cursor()),
            "optimizers": stepper.optimizers.state_dict(),
            "generators": asdict(GeneratorStates.now(stepper.device)),
            "weights": _copies(stepper.model.state_dict()) if main else None,
            "ema": _copies(self.ema.average) if main else None,
        }

    def take_in(self, step: int, own: dict[str, Any], main: dict[str, Any]) -> None:
        """Put a state back, as it was after ``step`` steps.

        Args:
            step: steps that have been made.
            own: of this rank.
            main: of rank 0, which has the weights.
        """
        stepper = self.stepper
        stepper.model.load_state_dict(main["weights"])
        self.ema.put_back(main["ema"])
        stepper.optimizers.load_state_dict(own["optimizers"])
        assert isinstance(self.source, WindowLoader)
        self.source.go_back_to(own["loader"])
        GeneratorStates(**own["generators"]).restore(stepper.device)
        stepper.model.set_recurrence(own["recurrence"])
        self.start, self.flops, self.saved_at_s = step, own["flops"], own["clock_s"]
        self.elapsed_s = own["clock_s"]
        self.first_val = Score(**own["first_val"]) if own["first_val"] else None
        self.clock.go_on_from(own["clock_s"])
        self.votes.max_float(own["clock_s"], stepper.device)  # a vote that is told one step late has begun


class ResumableTrainer(SeedTrainer):
    """One seed on one rank in research mode."""

    prefetcher = TrackedPrefetcher

    def __init__(self, *args: Any, store: CheckpointStore, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.store = store
        self.keeper = Keeper(store, self.ranks.rank)

    def run(self) -> Trained:
        """As `SeedTrainer.run`; no thread is left behind, however it ends."""
        try:
            return super().run()
        finally:
            self.keeper.wait()

    def _loop(self, stepper: Stepper, ema: Ema, loader: WindowLoader, validate: Callable[[], Score]) -> TrainingLoop:
        loop = ResumableLoop(self.recipe, stepper, ema, loader, validate, Clock(), self.observer, keeper=self.keeper)
        step = self._newest(stepper)
        if step is not None:
            own = self.store.read(step, self.ranks.rank)
            loop.take_in(step, own, own if self.ranks.is_main else self.store.read(step, 0))
            self._tell(RESUMED, {"step": step})
        return loop

    def _newest(self, stepper: Stepper) -> int | None:
        """The step to go on from, the same on every rank: rank 0 has looked."""
        found = -1.0
        if self.ranks.is_main:
            seen = self.store.resumable(lambda step: self._check(step, stepper))
            for line in seen.refused:
                self._tell("checkpoint_refused", {"reason": line})
            found = float(seen.step if seen.step is not None else -1)
        agreed = int(self.ranks.max_float(found, self.device))
        if self.ranks.is_main:  # before any rank writes: the first step waits for this one
            self.store.remove_above(agreed)
        return agreed if agreed >= 0 else None

    def _check(self, step: int, stepper: Stepper) -> None:
        """Whether rank 0's weights are those of this model: what the hashes cannot say of a forged file."""
        main, weights = self.store.read(step, 0), stepper.model.state_dict()
        for part in ("weights", "ema"):
            saved = main.get(part) if isinstance(main, dict) else None
            if not isinstance(saved, dict) or {k: t.shape for k, t in saved.items()} != {k: t.shape for k, t in weights.items()}:
                raise ArtifactError(f"checkpoint of step {step}", f"has other {part} than the recipe's model", "nothing")


def _copies(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}
