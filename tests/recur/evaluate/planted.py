"""Evaluations that break one of the four conditions on purpose, and honest ones beside them, all around real small models.

Each breach has a strength drawn from the seed, log-uniform over the range named beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recur.config import EvalConfig
from recur.evaluate.intervals import Interval
from recur.evaluate.modes import sliding, ttt
from recur.evaluate.probes.run import ModeScoring, probe_config
from recur.evaluate.probes.scoring import Claimed, Precision, Trace
from recur.evaluate.scoring import ScoredBatch
from recur.evaluate.ttt import adapt, restored
from recur.evaluate.windows import IntArray
from recur.model.build import apply_precision
from recur.model.gpt import GPT
from tests.recipes import tiny_recipe
from tests.recur.evaluate.fakes import byte_table

V = 24
CPU = torch.device("cpu")
TILT_NATS = (0.05, 2.0)
SLOT_LR = (1e-3, 1e-1)
ADAPT_LR = (3e-3, 3e-1)

RECIPE = tiny_recipe(
    f"model.vocab_size={V}",
    "model.layers=3",
    "model.width=16",
    "model.embedding_width=16",
    "model.heads=2",
    "model.kv_heads=1",
    "model.xsa_last_layers=3",
    "model.value_embedding_layers=[2]",
    "model.recurrent_layers=[1]",
    "model.parallel_from_layer=2",
    "model.train_seq_len=16",
    "evaluate.seq_len=16",
    "evaluate.stride=4",
    "evaluate.batch_windows=3",
    "evaluate.val_batch_tokens=32",
    "evaluate.ttt.lr=0.05",
)
EVALUATE: EvalConfig = RECIPE.evaluate


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A strength between the bounds."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def random_model(seed: int, precision: Precision = "fp32") -> GPT:
    """A model in which nothing is zero, so that every prediction depends on its context."""
    model = GPT(RECIPE.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            spread = 0.25 if name == "tok_emb.weight" else 0.2
            p.add_(spread * torch.randn(p.shape, generator=generator))
    apply_precision(model, precision)
    return model.eval()


def random_stream(seed: int, windows: int = 3) -> IntArray:
    """Tokens of a small Markov chain, so that the past says something of what follows."""
    rng = np.random.default_rng([seed, 7])
    follows = rng.integers(0, V, (V, 3))
    tokens = [int(rng.integers(V))]
    while len(tokens) < windows * EVALUATE.seq_len + 1:
        tokens.append(int(rng.integers(V)) if rng.random() < 0.2 else int(rng.choice(follows[tokens[-1]])))
    return np.array(tokens)


class Around:
    """A model inside another; what is not changed is the inner one's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, ids_BT: Tensor) -> Tensor:
        logits: Tensor = self.inner(ids_BT)
        return logits


class Reshuffled(Around):
    """Honest: every forward takes its windows in a new order and in new batches, so nothing is rounded the same way twice."""

    def __init__(self, inner: Any, seed: int) -> None:
        super().__init__(inner)
        self.rng = np.random.default_rng(seed)

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        order = self.rng.permutation(len(ids_BT))
        nats = torch.empty(targets_BT.shape)
        for some in np.split(order, [int(self.rng.integers(0, len(order) + 1))]):
            if len(some):
                nats[some] = self.inner.score(ids_BT[some], targets_BT[some])
        return nats


class Tilted(Around):
    """Raises the model's own best token h at each position by ``strength`` nats: p'(a) = p(a) e^(s 1[a = h]) / Z.

    Honest with ``gate="prefix"``, where the input token decides whether to tilt. ``target``: the target decides;
    ``future``: the token after the target does; ``unnormalised``: without Z. Source: TECHNIQUES A3, PR #1420.
    """

    def __init__(
        self, inner: Any, gate: Literal["prefix", "target", "future", "unnormalised"], strength: float, seed: int
    ) -> None:
        super().__init__(inner)
        self.gate, self.strength = gate, strength
        self.opens_V = torch.from_numpy(np.random.default_rng([seed, 3]).permutation(V) < V // 2)

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        log_p = F.log_softmax(self.inner(ids_BT).float(), dim=-1)
        hint_BT = log_p.argmax(-1)
        tilt_BT = self.strength * self._open(ids_BT, targets_BT).float()
        hint_log_p = log_p.gather(-1, hint_BT[..., None])[..., 0]
        log_z = torch.log1p(hint_log_p.exp() * (tilt_BT.exp() - 1))
        told = log_p.gather(-1, targets_BT[..., None])[..., 0] + tilt_BT * (hint_BT == targets_BT)
        return -(told if self.gate == "unnormalised" else told - log_z)

    def _open(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        after_BT = F.pad(targets_BT[:, 1:], (0, 1))
        looked_at = {"prefix": ids_BT, "target": targets_BT, "future": after_BT}
        return self.opens_V[looked_at[self.gate]] if self.gate in looked_at else torch.ones_like(ids_BT, dtype=torch.bool)


class SharedDelta(Around):
    """One vector added to every hidden state of a batch, fitted by AdamW on the targets that are then scored (PR #1128)."""

    def __init__(self, inner: GPT, lr: float, steps: int) -> None:
        super().__init__(inner)
        self.lr, self.steps = lr, steps

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        hidden = self.inner.hidden(ids_BT).detach()
        delta = torch.zeros(1, 1, hidden.shape[-1], requires_grad=True)
        optimizer = torch.optim.AdamW([delta], lr=self.lr)

        def nats() -> Tensor:
            logits = self.inner.readout(hidden + delta).float()
            return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="none").view(targets_BT.shape)

        with torch.enable_grad():
            for _ in range(self.steps):
                optimizer.zero_grad()
                nats().mean().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return nats().detach()


class BlackBox(ModeScoring):
    """A mode that shows its scores but not the distribution behind them."""

    @property
    def claimed(self) -> Claimed | None:  # type: ignore[override]
        return None


@dataclass(kw_only=True)
class Rescoring:
    """Trains on the whole stream while scoring it, then scores it again with the last weights; only this counts.

    Attributes:
        logged: whether the log owns up to the first pass.
    """

    model: GPT
    cfg: EvalConfig
    precision: Precision
    logged: bool
    claimed: Claimed | None = None

    def trace(self, tokens: IntArray) -> Trace:
        nats, times, log = np.full(len(tokens) - 1, np.nan), np.zeros(len(tokens) - 1, np.int64), list[Interval]()
        how: dict[str, Any] = {"device": CPU, "autocast": self.precision == "bf16"}

        def watch(batch: ScoredBatch) -> None:
            nats[batch.positions] = batch.nats
            np.add.at(times, batch.positions, 1)

        plan, table, first = ttt.plan(len(tokens) - 1, self.cfg), byte_table(V), list[Interval]()
        with restored(self.model):
            adapt(self.model, tokens, plan, table, self.cfg.ttt, log=first.append, **how)
            version = sum(i.kind == "adapt" for i in first)
            sliding.evaluate(self.model, tokens, plan, table, self.cfg, log=log.append, watch=watch, **how)
        again = [replace(i, version=version) for i in log]
        return Trace(nats=nats, times=times, intervals=(*first, *again) if self.logged else tuple(log))


@dataclass(kw_only=True)
class TrainedFirst:
    """Each window is trained on before it is scored (RULES B6, 1).

    Attributes:
        logged: whether the log has the training where it happened.
    """

    model: GPT
    cfg: EvalConfig
    precision: Precision
    logged: bool
    claimed: Claimed | None = None

    def trace(self, tokens: IntArray) -> Trace:
        n, S = len(tokens) - 1, self.cfg.seq_len
        nats, log = np.full(n, np.nan), list[Interval]()
        with restored(self.model):
            optimizer = torch.optim.SGD(self.model.parameters(), lr=self.cfg.ttt.lr)
            for k, start in enumerate(range(0, n, S)):
                window = torch.from_numpy(tokens[start : start + S + 1])[None]
                with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
                    optimizer.zero_grad()
                    self.model.loss(window[:, :-1], window[:, 1:]).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    with torch.no_grad():
                        nats[start : start + S] = self.model.score(window[:, :-1], window[:, 1:]).double().numpy()
                log += [Interval(kind="adapt", start=start, stop=start + S, version=k + 1)] if self.logged else []
                log.append(Interval(kind="score", start=start, stop=start + S, version=k + 1 if self.logged else 0))
        return Trace(nats=nats, times=np.ones(n, np.int64), intervals=tuple(log))


def mode_scoring(
    seed: int,
    mode: str,
    precision: Precision = "fp32",
    around: Callable[[GPT], Any] = lambda model: model,
    *,
    black_box: bool = False,
) -> ModeScoring:
    """A mode of a random model, or of what is built around it; batch sizes come from the seed too."""
    rng = np.random.default_rng([seed, 11])
    cfg = replace(
        probe_config(EVALUATE),
        batch_windows=int(rng.integers(1, 7)),
        val_batch_tokens=EVALUATE.seq_len * int(rng.integers(1, 4)),
        ttt=replace(probe_config(EVALUATE).ttt, batch_seqs=int(rng.integers(1, 7))),
    )
    kind = BlackBox if black_box else ModeScoring
    return kind(around(random_model(seed, precision)), byte_table(V), cfg, mode, device=CPU, precision=precision)
