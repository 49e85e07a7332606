"""Training one seed: set up, warm up, train, calibrate. The same function runs on every rank.

Source: REFERENCE 5, 7; ARCHITECTURE "Attempts and clocks". Called in one process, or inside a Ray Train worker whose
process group is already initialised.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from recur.config import Recipe
from recur.data.dataset import Dataset, validation_tokens
from recur.data.loader import WindowLoader
from recur.data.prefetch import Prefetcher
from recur.data.shards import TokensU16
from recur.evaluate.bpb import Score
from recur.evaluate.runner import evaluate_part
from recur.model.backend import choose_backend, use_backend
from recur.model.build import build_model
from recur.optim.ema import Ema
from recur.optim.optimizers import Optimizers
from recur.optim.schedule import muon_momentum
from recur.record.result import Phase
from recur.train.calibrate import calibrate
from recur.train.checkpoint import Trained, TrainSummary
from recur.train.clock import Clock
from recur.train.compiling import compiled, configure_compile
from recur.train.flops import measured_peak_tflops
from recur.train.loop import LoopOutcome, Observer, TrainingLoop
from recur.train.ranks import Ranks
from recur.train.step import Stepper
from recur.train.warmup import warm_up

DEEP_WARMUP_STEPS = 1
ReadValidation = Callable[[Dataset, int], TokensU16]
"""How training gets at validation text: the dataset and the window length to the stream."""


class SeedTrainer:
    """One seed on one rank; `run` is the whole story."""

    prefetcher = Prefetcher

    def __init__(
        self,
        recipe: Recipe,
        seed: int,
        dataset: Dataset,
        *,
        ranks: Ranks,
        device: torch.device,
        observer: Observer | None,
        read_validation: ReadValidation,
    ) -> None:
        self.recipe, self.seed, self.dataset = recipe, seed, dataset
        self.read_validation = read_validation
        self.ranks, self.device = ranks, device
        self.observer = observer if ranks.is_main else None
        self.seconds: dict[str, float] = {}
        self._phase_started = time.perf_counter()

    def run(self) -> Trained:
        """Train and calibrate; the EMA weights, the sums and the summary."""
        self._enter(Phase.SETUP)
        stepper = self._build()
        peak, peak_source = self._peak()
        warm_hash = self._warm_up(stepper)
        ema = Ema(stepper.model, self.recipe.optim.ema_decay)
        validate = self._validator(stepper)
        loader = self._loader()
        self._enter(Phase.TRAIN)
        loop = self._loop(stepper, ema, loader, validate)
        with ThreadPoolExecutor(1) as thread:
            if self.recipe.train.prefetch:
                loop.source = self.prefetcher(loader, thread, pin=self.device.type == "cuda")
            outcome = loop.run()
        self._tell("stop", {"step": outcome.steps, "train_s": outcome.train_s, "reason": outcome.stop_reason})
        self._enter(Phase.CALIBRATE)
        started = time.perf_counter()
        average = ema.state()
        stepper.model.load_state_dict(average)
        fresh = partial(training_loader, self.recipe, self.dataset, self.ranks.world)
        sums = calibrate(stepper.model, fresh, self.recipe, self.ranks, self.device)
        calibrate_s = time.perf_counter() - started
        self._leave()
        summary = self._summary(stepper, outcome, calibrate_s, peak, peak_source, warm_hash)
        weights = {name: t.cpu() for name, t in average.items()}
        return Trained(ema=weights, hessians=sums.hessians, moments=sums.moments, summary=summary)

    def _build(self) -> Stepper:
        cfg = self.recipe.train
        configure_compile()
        torch.set_float32_matmul_precision("high" if self.device.type == "cuda" else "highest")
        self.backend = choose_backend(cfg.attention, self.device, cfg.precision)
        use_backend(self.backend)
        model = build_model(self.recipe.model, seed=self.seed, precision=cfg.precision, device=self.device)
        optimizers = Optimizers(model, self.recipe.optim, self.ranks)
        accum = cfg.micro_batches // self.ranks.world
        loss = compiled(model.loss, enabled=cfg.compile)
        return Stepper(model, loss, optimizers, self.ranks, precision=cfg.precision, accum=accum)

    def _loop(self, stepper: Stepper, ema: Ema, loader: WindowLoader, validate: Callable[[], Score]) -> TrainingLoop:
        return TrainingLoop(self.recipe, stepper, ema, loader, validate, Clock(), self.observer)

    def _loader(self) -> WindowLoader:
        return training_loader(self.recipe, self.dataset, self.ranks.world, self.ranks.rank)

    def _peak(self) -> tuple[float, str]:
        cfg = self.recipe.train
        if cfg.peak_tflops > 0:
            return cfg.peak_tflops, "recipe"
        dtype = torch.bfloat16 if cfg.precision == "bf16" else torch.float32
        return measured_peak_tflops(self.device, dtype), "measured"

    def _warm_up(self, stepper: Stepper) -> str:
        cfg, optim = self.recipe.train, self.recipe.optim
        deep = cfg.compile and cfg.precompile_recurrence and bool(self.recipe.model.recurrent_layers)

        def momentum(index: int) -> float:
            return muon_momentum(
                index,
                start=optim.muon_momentum_start,
                final=optim.muon_momentum,
                warmup_steps=optim.muon_momentum_warmup_steps,
            )

        state_hash = warm_up(
            stepper, self._loader, steps=cfg.warmup_steps, deep_steps=DEEP_WARMUP_STEPS * deep, momentum=momentum
        )
        self._tell("warmup", {"steps": cfg.warmup_steps, "state_sha256": state_hash})
        return state_hash

    def _validator(self, stepper: Stepper) -> Callable[[], Score]:
        tokens = self.read_validation(self.dataset, self.recipe.evaluate.seq_len)
        table = self.dataset.byte_table()

        def validate() -> Score:
            part = evaluate_part(
                stepper.model,
                tokens,
                table,
                self.recipe.evaluate,
                "plain",
                self.ranks.rank,
                self.ranks.world,
                device=self.device,
                precision=self.recipe.train.precision,
            ).score
            nats, count, size = self.ranks.sum_floats([part.nats, part.tokens, part.bytes], self.device)
            return Score(nats=nats, tokens=int(count), bytes=int(size))

        return validate

    def _summary(
        self, stepper: Stepper, outcome: LoopOutcome, calibrate_s: float, peak: float, peak_source: str, warm_hash: str
    ) -> TrainSummary:
        first = outcome.first_val
        return TrainSummary(
            steps=outcome.steps,
            stop_reason=outcome.stop_reason,
            train_s=outcome.train_s,
            data_read_s=outcome.train_s + calibrate_s,
            tokens_per_s=outcome.steps * self.recipe.train.batch_tokens / outcome.train_s,
            mfu=outcome.flops / outcome.train_s / (peak * 1e12),
            mfu_peak_tflops=peak,
            mfu_peak_source=peak_source,
            first_val_loss=first.val_loss if first else None,
            first_val_bpb=first.val_bpb if first else None,
            last_step_loss=outcome.last_val.val_loss,
            last_step_bpb=outcome.last_val.val_bpb,
            recurrence_active=stepper.model.recurrence_active,
            attention_backend=self.backend,
            warmup_state_sha256=warm_hash,
            peak_memory_bytes=self._peak_memory_bytes(),
            seconds=dict(self.seconds),
        )

    def _peak_memory_bytes(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _enter(self, phase: Phase) -> None:
        self._leave()
        self._phase: Phase | None = phase
        self._tell("phase", {"phase": phase.value})

    def _leave(self) -> None:
        now = time.perf_counter()
        if getattr(self, "_phase", None) is not None:
            self.seconds[str(self._phase)] = now - self._phase_started
        self._phase_started, self._phase = now, None

    def _tell(self, kind: str, fields: dict[str, float | int | str]) -> None:
        if self.observer is not None:
            self.observer.event(kind, fields)


def training_loader(recipe: Recipe, dataset: Dataset, world: int, rank: int) -> WindowLoader:
    """A rank's training windows from the first on; the order depends on the shards' names, the world size and the recipe."""
    cfg = recipe.train
    return WindowLoader(
        dataset.train_paths(),
        dataset.train_hash_strings(),
        seq_len=recipe.model.train_seq_len,
        batch_tokens=cfg.batch_tokens,
        rank=rank,
        world=world,
        accum=cfg.micro_batches // world,
    )


def train_seed(
    recipe: Recipe,
    seed: int,
    dataset: Dataset,
    *,
    ranks: Ranks,
    device: torch.device,
    observer: Observer | None = None,
    read_validation: ReadValidation = validation_tokens,
) -> Trained:
    """Train and calibrate one seed on this rank.

    Args:
        recipe: the whole recipe.
        seed: affects only the initial weights.
        dataset: a prepared data folder.
        ranks: our rank; with several, the process group must be initialised.
        device: where to train.
        observer: told of progress on rank 0.
        read_validation: the only way to validation text, for logged scores.

    Returns:
        EMA weights, calibration sums and the summary; rank 0's is the one that counts.
    """
    trainer = SeedTrainer(recipe, seed, dataset, ranks=ranks, device=device, observer=observer, read_validation=read_validation)
    return trainer.run()
