"""The probes on the evaluation modes as they run: same model, same code path, a short stream of real text.

Options that are the probe's own: test-time training takes chunks of one window and one epoch, so that the short stream
has several updates and each scoring stays cheap. Everything else is the recipe's, batches too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recur.components import component
from recur.config import EvalConfig
from recur.data.shards import Tokens
from recur.data.tokenizer import ByteTable
from recur.errors import DataError
from recur.evaluate.compiled import CompiledScorer
from recur.evaluate.intervals import Interval
from recur.evaluate.probes.causality import probe_causality
from recur.evaluate.probes.normalisation import probe_normalisation
from recur.evaluate.probes.order import Order, probe_order
from recur.evaluate.probes.report import ProbeReport, probe_report
from recur.evaluate.probes.scoring import Claimed, Nats, Precision, Trace, Traced, measure_noise, spread
from recur.evaluate.runner import MODES, evaluate_part
from recur.evaluate.scoring import ScoredBatch, Scorer, autocast_bf16
from recur.evaluate.windows import IntArray

PROBED_MODES = ("plain", "sliding", "ttt")


@dataclass(frozen=True, kw_only=True)
class ProbeEffort:
    """How much is tried.

    Attributes:
        windows: length of the stream, in windows.
        cuts: flips.
        repeats: scorings of the unchanged stream, for its noise.
        sum_positions: positions whose probabilities are summed, spread from the first window to the last.
        candidates: targets scored at each of them; all where the vocabulary has no more.
    """

    windows: int = 3
    cuts: int = 32
    repeats: int = 3
    sum_positions: int = 3
    candidates: int = 16


SCORING_EFFORT = ProbeEffort()
TRAINING_EFFORT = ProbeEffort(cuts=12, repeats=2, sum_positions=2, candidates=6)
"""For a mode that trains, whose scorings cost several times as much."""


def usual_effort(mode: str) -> ProbeEffort:
    """The effort of a mode, by whether it must run in one piece, as training does."""
    return SCORING_EFFORT if component(MODES, mode).SHARDABLE else TRAINING_EFFORT


class ModeScoring:
    """An evaluation mode of one model as a scoring (`recur.evaluate.probes.scoring`)."""

    def __init__(
        self, model: Scorer, table: ByteTable, cfg: EvalConfig, mode: str, *, device: torch.device, precision: Precision
    ) -> None:
        self.model, self.table, self.cfg, self.mode = model, table, cfg, mode
        self.device, self.precision = device, precision

    @property
    def claimed(self) -> Claimed:
        """See `log_probs`."""
        return self.log_probs

    def trace(self, tokens: IntArray) -> Trace:
        """Nats, counts and log of one evaluation."""
        nats, times = np.full(len(tokens) - 1, np.nan), np.zeros(len(tokens) - 1, np.int64)

        def watch(batch: ScoredBatch) -> None:
            nats[batch.positions] = batch.nats
            np.add.at(times, batch.positions, 1)

        return Trace(nats=nats, times=times, intervals=self._run(self.model, tokens, watch))

    def log_probs(self, tokens: IntArray, position: int) -> Nats:
        """The whole distribution [V] of the model at the moment in which it scores the target of ``position``.

        The model reads the batch of that moment once more, with the weights it has then.
        """
        listening = _Listening(self.model)
        found: list[Nats] = []

        def watch(batch: ScoredBatch) -> None:
            for k in np.flatnonzero(batch.positions == position):
                with torch.no_grad(), autocast_bf16(self.device, self.precision == "bf16"):
                    logits_V = listening.last_logits()[int(batch.rows[k]), int(batch.columns[k])]
                    found.append(F.log_softmax(logits_V.float(), dim=-1).double().cpu().numpy())

        self._run(cast(Scorer, listening), tokens, watch)
        if not found:
            raise DataError(f"position={position}", f"is not scored by mode {self.mode!r}", "choose one that its plan covers")
        return found[-1]

    def _run(self, model: Scorer, tokens: IntArray, watch: Callable[[ScoredBatch], None]) -> tuple[Interval, ...]:
        options: Any = {"device": self.device, "precision": self.precision, "watch": watch}
        return evaluate_part(model, tokens, self.table, self.cfg, self.mode, **options).intervals


class _Listening:
    """A model that remembers what it last scored; everything else is the model's own."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ids = torch.empty(0, dtype=torch.int64)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        self._ids = ids_BT
        nats: Tensor = self._model.score(ids_BT, targets_BT, first)
        return nats

    def last_logits(self) -> Tensor:
        model = self._model
        logits: Tensor = model.logits(self._ids) if isinstance(model, CompiledScorer) else model(self._ids)
        return logits


def probe_stream(tokens: Tokens, seq_len: int, windows: int) -> IntArray:
    """The first ``windows`` windows of a stream, fewer where it is shorter, with their last target.

    Raises:
        DataError: it holds no whole window.
    """
    held = min(windows, (len(tokens) - 1) // seq_len)
    if held < 1:
        raise DataError(f"stream of {len(tokens)} tokens", f"holds no window of {seq_len} to probe", "give more validation text")
    return np.asarray(tokens[: held * seq_len + 1], np.int64)


def probe_config(cfg: EvalConfig) -> EvalConfig:
    """The recipe's evaluation with the chunks and epochs of the probe."""
    return replace(cfg, ttt=replace(cfg.ttt, chunk_tokens=cfg.seq_len, epochs=min(cfg.ttt.epochs, 1)))


def probe_mode(
    model: Scorer,
    tokens: Tokens,
    table: ByteTable,
    cfg: EvalConfig,
    mode: str,
    *,
    device: torch.device,
    precision: Precision,
    effort: ProbeEffort | None = None,
    seed: int = 0,
) -> ProbeReport:
    """Run every probe on one mode.

    Args:
        model: the evaluated model; left as it was.
        tokens: the validation stream; its first windows are taken.
        cfg: the recipe's evaluation, see `probe_config` for what the probe changes.
        effort: None = `usual_effort`.
        seed: of places and tokens; the same seed gives the same report.

    Raises:
        DataError: the stream holds no whole window.
        RecipeError: an unknown mode.
    """
    effort = effort or usual_effort(mode)
    stream = probe_stream(tokens, cfg.seq_len, effort.windows)
    scoring = ModeScoring(model, table, probe_config(cfg), mode, device=device, precision=precision)
    return probe_scoring(scoring, stream, len(table.base), name=mode, precision=precision, effort=effort, seed=seed)


def probe_scoring(
    scoring: Traced, stream: IntArray, vocab_size: int, *, name: str, precision: Precision, effort: ProbeEffort, seed: int
) -> ProbeReport:
    """Run every probe on any scoring, over the whole of ``stream`` (int64 [n + 1], n at least 2); see `probe_mode`."""

    def score(tokens: IntArray) -> Nats:
        return scoring.trace(tokens).nats

    trace = scoring.trace(stream)
    order = probe_order(trace.intervals, len(stream) - 1)
    noise = measure_noise(score, stream, trace.nats, repeats=effort.repeats, precision=precision)
    causality = probe_causality(score, stream, vocab_size, trace.nats, noise, cuts=effort.cuts, seed=seed)
    normalisation = probe_normalisation(
        score,
        stream,
        vocab_size,
        noise,
        positions=spread(0, len(stream) - 1, effort.sum_positions, np.random.default_rng(seed)),
        candidates=effort.candidates,
        claimed=scoring.claimed,
        seed=seed,
    )
    executed = executed_findings(trace, order)
    return probe_report(
        name, precision, order=order, noise=noise, causality=causality, normalisation=normalisation, executed=executed
    )


def executed_findings(trace: Trace, order: Order) -> tuple[str, ...]:
    """Whether the scores that were summed are those that the log tells of."""
    once = int((trace.times == 1).sum())
    if once == order.scored_once and trace.times.sum() == order.targets:
        return ()
    told = f"the log tells of {order.scored_once} of {order.targets}"
    return (f"{int(trace.times.sum())} scores were summed, {once} targets once; {told}",)


def probe_modes(
    models: Callable[[str], Scorer],
    tokens: Tokens,
    table: ByteTable,
    cfg: EvalConfig,
    *,
    device: torch.device,
    precision: Precision,
    modes: Sequence[str] = PROBED_MODES,
    effort: ProbeEffort | None = None,
    seed: int = 0,
) -> tuple[ProbeReport, ...]:
    """`probe_mode` for each of ``modes``; ``models`` gives the model that a mode runs (compiled or not)."""
    return tuple(
        probe_mode(models(mode), tokens, table, cfg, mode, device=device, precision=precision, effort=effort, seed=seed)
        for mode in modes
    )
