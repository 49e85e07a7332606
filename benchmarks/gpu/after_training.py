"""What follows training on a GPU: Hessians of every linear layer, and sliding-window evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.place import Place, settle
from benchmarks.harness import Bar, Outcome, measure
from recur.data.loader import Batch
from recur.data.tokenizer import ByteTable
from recur.evaluate.bpb import Score
from recur.evaluate.compiled import CompiledScorer
from recur.evaluate.runner import evaluate_part
from recur.evaluate.windows import IntArray
from recur.model.gpt import GPT
from recur.quantize.hessian import collect_hessians, hessian_names

HESSIAN_BATCHES, RELATIVE = 4, 1e-4
MOST_BPB = 2e-5
STRIDE_SHARE, BATCH_WINDOWS, BATCHES = 32, 32, 64


def outcomes(place: Place) -> Iterator[Outcome]:
    """Two bars."""
    settle(place)
    yield measure(_hessians(place))
    yield measure(_sliding(place))


def _hessians(place: Place) -> Bar:
    recipe = place.recipe()
    model = place.model(recipe.model)
    batches = [Batch(*place.tokens(recipe.model, place.batch, seed)) for seed in range(HESSIAN_BATCHES)]
    names = hessian_names({name: tuple(t.shape) for name, t in model.state_dict().items()}, recipe.quantize)

    def ours() -> dict[str, Tensor]:
        return collect_hessians(model, batches, count=HESSIAN_BATCHES, names=names, device=place.device).sums

    def agreement(theirs: dict[str, Tensor], mine: dict[str, Tensor]) -> str:
        assert set(theirs) <= set(mine), "a layer is missing"
        worst = max(float((theirs[n] - mine[n]).norm() / theirs[n].norm()) for n in theirs)
        assert worst <= RELATIVE, f"a Hessian is {worst:.1e} off"
        return f"{len(theirs)} Hessians to {worst:.0e}"

    return Bar(
        name=f"Hessians of {HESSIAN_BATCHES} batches",
        reference=lambda: _every_hessian(place, model, batches, names),
        ours=ours,
        agreement=agreement,
        threshold=2.5,
        goal=4.0,
        clock=place.clock,
    )


def _every_hessian(place: Place, model: GPT, batches: list[Batch], names: list[str]) -> dict[str, Tensor]:
    """REFERENCE 8.4: a hook and a product for every layer, logits included."""
    modules = dict(model.named_modules())
    layers = {name: modules[name.removesuffix(".weight")] for name in names}
    linear = {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear)}
    widths = {name: model.get_parameter(name).shape[1] for name in linear}
    sums = {name: torch.zeros(width, width, device=place.device) for name, width in widths.items()}

    def add(name: str, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        x = args[0].detach().float().reshape(-1, sums[name].shape[0])
        sums[name] += x.T @ x

    hooks = [layer.register_forward_pre_hook(partial(add, name)) for name, layer in linear.items()]
    with torch.no_grad(), torch.autocast(place.device.type, enabled=False):
        for batch in batches:
            model(batch.x_BT)
    for hook in hooks:
        hook.remove()
    return {name: total.cpu() for name, total in sums.items()}


def _sliding(place: Place) -> Bar:
    recipe = place.recipe()
    cfg = recipe.model
    stride = place.seq_len // STRIDE_SHARE
    windows = BATCH_WINDOWS * BATCHES if place.is_gpu else 2 * BATCH_WINDOWS
    draw = np.random.default_rng(6)
    tokens = draw.integers(4, cfg.vocab_size, place.seq_len + (windows - 1) * stride + 1)
    flags = np.zeros(cfg.vocab_size, np.bool_)
    table = ByteTable(base=draw.integers(1, 6, cfg.vocab_size).astype(np.int16), space=flags, boundary=flags)
    base = torch.from_numpy(table.base).to(place.device)
    theirs, mine = place.model(cfg, deep=True).eval(), place.model(cfg, deep=True).eval()
    scorer = CompiledScorer(mine) if place.compile else mine
    chosen = replace(recipe.evaluate, seq_len=place.seq_len, stride=stride, batch_windows=BATCH_WINDOWS, counted_rows_only=True)
    forward = place.compiled(theirs.forward)

    def ours() -> Score:
        return evaluate_part(scorer, tokens, table, chosen, "sliding", device=place.device, precision="bf16").score

    def agreement(a: Score, b: Score) -> str:
        assert (a.tokens, a.bytes) == (b.tokens, b.bytes), "other tokens were scored"
        apart = abs(a.val_bpb - b.val_bpb)
        assert apart <= MOST_BPB, f"{apart:.1e} BPB apart"
        return f"{b.tokens} tokens, {apart:.0e} BPB apart"

    return Bar(
        name=f"sliding evaluation, {windows} windows of {place.seq_len}, stride {stride}",
        reference=lambda: _every_row(place, forward, tokens, base, stride),
        ours=ours,
        agreement=agreement,
        threshold=1.28,
        goal=1.6,
        pairs=3,
        clock=place.clock,
    )


def _every_row(place: Place, forward: Callable[[Tensor], Tensor], tokens: IntArray, base: Tensor, stride: int) -> Score:
    """REFERENCE 11.2: each window copied by itself, every row through everything, the counted rows of each window summed."""
    size = place.seq_len
    starts = list(range(0, len(tokens) - 1 - (size - stride), stride))
    nats, count, text = (torch.zeros((), dtype=torch.float64, device=place.device) for _ in range(3))
    with torch.no_grad(), torch.autocast(place.device.type, dtype=torch.bfloat16):
        for low in range(0, len(starts), BATCH_WINDOWS):
            some = starts[low : low + BATCH_WINDOWS]
            ids = torch.stack([torch.from_numpy(tokens[s : s + size + 1]).to(place.device) for s in some])
            x, y = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
            logits = forward(x).float()
            losses = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
            for row, start in enumerate(some):
                first = 0 if start == 0 else size - stride
                nats += losses[row, first:].double().sum()
                count += size - first
                text += base[y[row, first:]].double().sum()
    return Score(nats=float(nats), tokens=int(count), bytes=int(text))
