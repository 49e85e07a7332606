"""Forward and backward at both depths, the share of the matmul rate that is used, the gap between steps, and loss curves.

The reference's side is our network by the faithful profile, which the reference vectors hold, compiled as it is there; both
sides use the same attention kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, schedule

from benchmarks.gpu.place import Place, settle
from benchmarks.harness import Bar, Outcome, judged, measure
from recur.config import ModelConfig
from recur.data.loader import Batch
from recur.model.backend import use_backend
from recur.model.gpt import GPT
from recur.optim.ema import Ema
from recur.optim.optimizers import Optimizers
from recur.train.flops import training_flops_per_token
from recur.train.ranks import Ranks
from recur.train.step import Stepper, autocast
from recur.train.votes import LaggedVotes

FASTER, UTILISED, GAP = 1.12, 0.46, 0.01
LOSS_NOISE = 5e-3
"""Nats: what two orders of bf16 sums may differ by in one loss."""
NORM_NOISE = 0.02
"""The same for the norm of all gradients, relative."""
CURVE_STEPS, CURVE_NOISE = 50, 1.5
RATE_SIDE, RATE_REPEATS = 8192, 600
WARM_STEPS, PROFILED_STEPS = 3, 5


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What a forward and backward left: the loss in nats, and the norm of all gradients."""

    loss: float
    grad_norm: float


def outcomes(place: Place) -> Iterator[Outcome]:
    """Five bars; without a GPU the two that need its clock are left out."""
    backend = settle(place)
    plain = place.recipe().model
    fused = replace(plain, fused_qkv=True)
    for deep in (False, True):
        bar = _forward_backward(place, plain, fused, deep, backend)
        found = measure(bar)
        yield found
        if place.is_gpu and not deep:
            yield _utilisation(place, plain, found.ours_s / place.repeats)
    if place.is_gpu:
        yield _gap(place)
    yield _curves(place, backend)


def _forward_backward(place: Place, plain: ModelConfig, fused: ModelConfig, deep: bool, backend: str) -> Bar:
    x, y = place.tokens(plain, place.batch)

    def side(cfg: ModelConfig) -> Callable[[], Pass]:
        model = place.model(cfg, deep=deep)
        loss = place.compiled(model.loss)
        return lambda: _steps(place, model, loss, x, y)

    depth = 13 if deep else 11
    return Bar(
        name=f"forward + backward, {depth} layers, {place.batch} x {place.seq_len}, {backend}",
        reference=side(plain),
        ours=side(fused),
        agreement=_same,
        threshold=FASTER,
        goal=1.2,
        clock=place.clock,
    )


def _steps(place: Place, model: GPT, loss: Callable[..., Tensor], x: Tensor, y: Tensor) -> Pass:
    for _ in range(place.repeats):
        model.zero_grad(set_to_none=True)
        with autocast("bf16", place.device):
            value = loss(x, y)
        value.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return Pass(loss=float(value.detach()), grad_norm=float(norm))


def _same(theirs: Pass, mine: Pass) -> str:
    apart = abs(theirs.loss - mine.loss)
    assert apart <= LOSS_NOISE, f"losses {theirs.loss:.4f} and {mine.loss:.4f}"
    assert abs(theirs.grad_norm - mine.grad_norm) <= NORM_NOISE * theirs.grad_norm, "gradients differ"
    return f"loss {mine.loss:.4f}, {apart:.0e} apart; gradient norm {mine.grad_norm:.3g}"


def _utilisation(place: Place, cfg: ModelConfig, step_s: float) -> Outcome:
    a, b = (torch.randn(RATE_SIDE, RATE_SIDE, device=place.device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(WARM_STEPS):
        a @ b
    start_s = place.clock()
    for _ in range(RATE_REPEATS):
        a @ b
    rate = 2 * RATE_SIDE**3 * RATE_REPEATS / (place.clock() - start_s)
    flops = training_flops_per_token(cfg, recurrence=False) * place.batch * place.seq_len
    return judged(
        name="forward + backward, share of the 8192^3 bf16 rate of this run",
        ratio=flops / step_s / rate,
        threshold=UTILISED,
        kind="times",
        agreement=f"{flops / 1e12:.2f} TFLOP, {rate / 1e12:.0f} TFLOP/s",
    )


def _stepper(place: Place, model: GPT, precision: Literal["bf16", "fp32"] = "bf16") -> Stepper:
    optimizers = Optimizers(model, place.recipe().optim, Ranks(0, 1))
    return Stepper(model, place.compiled(model.loss), optimizers, Ranks(0, 1), precision=precision, accum=1)


def _gap(place: Place) -> Outcome:
    """Share of a step in which no kernel runs, from the profiler's intervals; as training does it, with batches from the host's
    pinned memory, the lagged vote, optimizers and moving average.
    """
    recipe = place.recipe("model.fused_qkv=true")
    model = place.model(recipe.model)
    stepper, ema, votes = _stepper(place, model), Ema(model, recipe.optim.ema_decay), LaggedVotes(Ranks(0, 1))
    x, y = (t.cpu().pin_memory() for t in place.tokens(recipe.model, place.batch))
    spans: list[tuple[float, float]] = []

    def keep(seen: profile) -> None:
        events: Any = seen.events()  # type: ignore[no-untyped-call]
        spans.extend((e.time_range.start, e.time_range.end) for e in events if e.device_type.name == "CUDA")

    plan = schedule(wait=0, warmup=WARM_STEPS, active=PROFILED_STEPS)
    with profile(activities=[ProfilerActivity.CUDA], schedule=plan, on_trace_ready=keep) as seen:
        for step in range(WARM_STEPS + PROFILED_STEPS):
            stepper.step([Batch(x, y)], multiplier=1.0, momentum=0.95)
            ema.update()
            votes.max_float(float(step), place.device)
            if step == WARM_STEPS + PROFILED_STEPS - 1:
                place.clock()
            seen.step()
    return judged(
        name="step, share of it without a running kernel",
        ratio=1 - covered_frac(spans),
        threshold=GAP,
        kind="share",
        agreement=f"{len(spans)} kernels in {PROFILED_STEPS} steps",
    )


def covered_frac(spans: list[tuple[float, float]]) -> float:
    """Share of the time from the first start to the last end that lies in any span; 0.0 without spans."""
    if not spans:
        return 0.0
    spans = sorted(spans)
    covered, reached = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered / (reached - spans[0][0])


def _curves(place: Place, backend: str) -> Outcome:
    """Losses of some steps from one start, uncompiled: how far ours and the reference's are from those of float32."""
    place = replace(place, compile=False)
    plain = place.recipe().model
    rows = max(2, place.batch // 6)
    batches = [Batch(*place.tokens(plain, rows, seed)) for seed in range(CURVE_STEPS)]

    def losses(cfg: ModelConfig, precision: Literal["bf16", "fp32"] = "bf16") -> Tensor:
        model = place.model(cfg)
        stepper = _stepper(place, model.float() if precision == "fp32" else model, precision)
        return torch.stack([stepper.step([batch], multiplier=1.0, momentum=0.95).loss_nats for batch in batches])

    theirs, mine = losses(plain), losses(replace(plain, fused_qkv=True))
    usual = torch.get_float32_matmul_precision()
    use_backend("math")  # the other kernels take no float32
    torch.set_float32_matmul_precision("highest")
    exact = losses(plain, "fp32")
    torch.set_float32_matmul_precision(usual)
    use_backend(backend)
    apart, reference = (float((one - exact).abs().mean()) for one in (mine, theirs))
    return judged(
        name=f"losses of {CURVE_STEPS} steps, distance to float32, of reference's",
        ratio=apart / max(reference, 1e-9),
        threshold=CURVE_NOISE,
        kind="share",
        agreement=f"from {exact[0]:.4f} to {exact[-1]:.4f}; {apart:.1e} and {reference:.1e} nats",
    )
