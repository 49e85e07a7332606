"""What a person sees while a sweep runs: gauges on the node's /metrics, bars or lines in the terminal.

Both read the same thing, `SeedView`: the heartbeat, the events and the result of the counting attempt. A Ray gauge vanishes with
its process, so the gauges live in the sweep's driver, which is there until the end (RAY.md 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cluster.look import life_of
from cluster.seats import Seat, SweepPlan
from recur.record.result import Phase, State

PHASE_NUMBERS = {phase: number for number, phase in enumerate(Phase)}
"""Value of the gauge ``recur_phase``: setup 0, train 1, ... verify 6; 7 when the seed is done, -1 before it starts."""
_GAUGES = {
    "recur_loss": "training loss of the last logged step, nats per token",
    "recur_tokens_per_s": "training tokens per second",
    "recur_mfu": "model flops utilisation against the stated peak",
    "recur_phase": "phase: setup 0, train 1, calibrate 2, quantize 3, fit 4, evaluate 5, verify 6, done 7, waiting -1",
    "recur_val_bpb": "bits per byte: last validation, then the final score",
    "recur_total_bytes": "model and code bytes",
    "recur_progress": "share of the current phase that is done, 0 to 1",
}


@dataclass(frozen=True, kw_only=True)
class SeedView:
    """One seed as it is shown; None where nothing is known yet."""

    seed: int
    attempt: int
    state: State
    phase: Phase | None = None
    done_frac: float | None = None
    step: int | None = None
    loss: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    val_bpb: float | None = None
    total_bytes: int | None = None
    reason: str | None = None

    def gauges(self) -> dict[str, float]:
        """Values by gauge name; absent ones are left out."""
        done = self.state.terminal and self.state is not State.CANCELLED
        phase = 7.0 if done else float(PHASE_NUMBERS[self.phase]) if self.phase else -1.0
        values = {
            "recur_loss": self.loss,
            "recur_tokens_per_s": self.tokens_per_s,
            "recur_mfu": self.mfu,
            "recur_phase": phase,
            "recur_val_bpb": self.val_bpb,
            "recur_total_bytes": self.total_bytes,
            "recur_progress": 1.0 if done else self.done_frac,
        }
        return {name: float(value) for name, value in values.items() if value is not None}

    def line(self) -> str:
        """What the bar or the log line says."""
        parts = [str(self.phase) if self.phase and not self.state.terminal else self.state.value.lower()]
        if self.phase is Phase.TRAIN and self.step is not None and self.loss is not None:
            parts.append(f"step {self.step} loss {self.loss:.4f}")
        if self.val_bpb is not None:
            parts.append(f"val_bpb {self.val_bpb:.4f}")
        if self.total_bytes is not None:
            parts.append(f"{self.total_bytes:,} bytes")
        if self.reason:
            parts.append(self.reason)
        return " | ".join(parts)


def view(plan: SweepPlan, seat: Seat, now: float) -> SeedView:
    """What is known about a seat's attempt now."""
    if seat.result is not None and seat.state.terminal:
        return _finished(seat)
    life = life_of(plan.attempt(seat.seed, seat.attempt), now)
    beat = life.fields if life else {}
    done, total = _number(beat, "done", "step"), _number(beat, "total", "steps")
    peak = plan.template.recipe.train.peak_tflops * 1e12
    speed, step = _number(beat, "flops_per_s"), _number(beat, "step")
    return SeedView(
        seed=seat.seed,
        attempt=seat.attempt,
        state=seat.state,
        phase=life.phase if life else None,
        done_frac=done / total if done is not None and total else None,
        step=int(step) if step is not None else None,
        loss=_number(beat, "loss"),
        tokens_per_s=_number(beat, "tokens_per_s"),
        mfu=speed / peak if speed and peak else None,
        val_bpb=_number(beat, "val_bpb"),
        reason=f"the disk refuses: {seat.trouble.error}" if seat.trouble else seat.reason,
    )


def _number(beat: Mapping[str, object], *names: str) -> float | None:
    """The first of the fields that is there, if it is a finite number: a monitoring file must not end a run."""
    value = next((beat[name] for name in names if name in beat), None)
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def _finished(seat: Seat) -> SeedView:
    result = seat.outcome()
    last = result.val_bpb
    return SeedView(
        seed=seat.seed,
        attempt=seat.attempt,
        state=seat.state,
        phase=Phase.VERIFY,
        done_frac=1.0,
        step=result.steps,
        tokens_per_s=result.tokens_per_s,
        mfu=result.mfu,
        val_bpb=last.sliding if last.sliding is not None else last.last_step,
        total_bytes=result.total_bytes,
        reason=seat.reason,
    )


class Gauges:
    """The gauges of one sweep, by sweep and seed."""

    def __init__(self, sweep: str) -> None:
        from ray.util.metrics import Gauge

        self._sweep = sweep
        self._gauges: dict[str, Any] = {
            name: Gauge(name, description=text, tag_keys=("sweep", "seed")) for name, text in _GAUGES.items()
        }

    def show(self, views: Sequence[SeedView]) -> None:
        """Set every value that is known."""
        for one in views:
            for name, value in one.gauges().items():
                self._gauges[name].set(value, tags={"sweep": self._sweep, "seed": str(one.seed)})

    def close(self) -> None:
        """Nothing to do: the gauges go with the process."""


class Display(Protocol):
    """Shows the seeds again and again until it is closed."""

    def show(self, views: Sequence[SeedView]) -> None: ...

    def close(self) -> None: ...


def terminal_display(console: Console) -> Display:
    """Bars in a terminal, else one line for each change of phase or state."""
    return Bars(console) if console.is_terminal else Lines(console)


class Bars:
    """One bar a seed; its length is the share of the current phase."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("seed {task.fields[seed]}"), BarColumn(bar_width=24), TextColumn("{task.description}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._tasks: dict[int, TaskID] = {}
        self._progress.start()

    def show(self, views: Sequence[SeedView]) -> None:
        """Redraw."""
        for one in views:
            if one.seed not in self._tasks:
                self._tasks[one.seed] = self._progress.add_task("", total=1.0, seed=one.seed, start=False)
            task = self._tasks[one.seed]
            if one.phase is not None:
                self._progress.start_task(task)
            self._progress.update(task, completed=one.gauges().get("recur_progress", 0.0), description=one.line())
            if one.state.terminal:
                self._progress.stop_task(task)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._progress.stop()


class Lines:
    """A line whenever a seed's state or phase has changed, or it waits for another reason."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[int, tuple[State, Phase | None, str | None]] = {}

    def show(self, views: Sequence[SeedView]) -> None:
        """Say what is new."""
        for one in views:
            key = (one.state, one.phase, one.reason)
            if self._said.get(one.seed) != key and (one.state is not State.QUEUED or one.reason):
                self._said[one.seed] = key
                self._console.print(f"seed {one.seed} attempt {one.attempt}: {one.line()}", highlight=False, markup=False)

    def close(self) -> None:
        """Nothing to do."""
