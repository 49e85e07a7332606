"""One side of a comparison: what the seeds of a sweep, or of a published line, scored.

Two arms are on the same text when both scored the whole validation set of the challenge, or equally many bytes; they have
the same tokenizer when it also cuts that text at the same bytes per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from recur.record.known import KnownMeans, KnownRecord, bytes_per_token_of
from recur.record.result import SeedResult, State, SweepResult
from recur.record.stats.moments import Moments, Spread, moments, spread
from recur.record.stats.units import bytes_per_token, implied_bytes_per_token

FINEWEB = "FineWeb validation, 50,000 documents"
FINEWEB_BYTES = (151_070_000, 151_080_000)
"""Scored bytes of the challenge's validation text under any lossless tokenizer (RULES B3)."""

_SAME_CUT = 1e-6
"""Relative: published losses and scores have eight decimals, two tokenizers differ in the second digit."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Scores of one recipe over its seeds; what is not known is "" or None or ().

    Attributes:
        label: how the arm is called in tables and sentences.
        seeds, val_bpb: seed by seed and in one order; empty where only ``published`` is known.
        val_loss: nats per token in the same order, or empty.
        total_bytes: model + code in the same order, or empty.
        mean_bpb: the mean score; None for an arm without a score.
        published: n, mean and deviation where the seeds are not known one by one; ``published_n`` where only n is known.
        bytes_per_token: of the scored text.
        scoring: "sliding", or "ttt" for a score after test-time training.
        left_out: seeds that did not succeed, in words.
        date: ISO day (or time) of a submission.
        pr: pull request of a published line; ``base_pr`` the one it says it is built on.
    """

    label: str
    seeds: tuple[int, ...] = ()
    val_bpb: tuple[float, ...] = ()
    val_loss: tuple[float, ...] = ()
    total_bytes: tuple[int, ...] = ()
    mean_bpb: float | None = None
    published: Moments | None = None
    published_n: int | None = None
    published_loss: Moments | None = None
    corpus: str = ""
    scored_bytes: int | None = None
    tokenizer: str = ""
    bytes_per_token: float | None = None
    stride: int | None = None
    cap_bytes: int | None = None
    scoring: str = "sliding"
    left_out: tuple[str, ...] = ()
    status: str = ""
    date: str = ""
    pr: int | None = None
    base_pr: int | None = None

    @property
    def bpb(self) -> Moments | None:
        """n, mean and deviation of the score in BPB; None below two seeds."""
        return moments(self.val_bpb, self.label) if len(self.val_bpb) > 1 else self.published

    @property
    def loss(self) -> Moments | None:
        """n, mean and deviation of the loss in nats per token; None below two seeds or where it is not known."""
        return moments(self.val_loss, self.label) if len(self.val_loss) > 1 else self.published_loss

    @property
    def bytes(self) -> Spread | None:
        """Spread of model + code."""
        return spread([float(b) for b in self.total_bytes])

    @property
    def n(self) -> int | None:
        """Seeds behind the mean; None where it is not published."""
        return len(self.val_bpb) or self.published_n


def arm_of_sweep(
    result: SweepResult, *, label: str | None = None, tokenizer: str = "", corpus: str = "", stride: int | None = None
) -> Arm:
    """The SUCCEEDED seeds with a sliding score. ``corpus`` defaults to what the number of scored bytes says."""
    good = [s for s in result.seeds if s.state is State.SUCCEEDED and s.val_bpb.sliding is not None]
    scores = [s.val_bpb.sliding for s in good if s.val_bpb.sliding is not None]
    losses = [s.val_loss.sliding for s in good if s.val_loss.sliding is not None]
    totals = [s.total_bytes for s in good if s.total_bytes is not None]
    scored = _one([s.scored_bytes for s in good])
    tokens = _one([s.scored_tokens for s in good])
    found = spread(scores)
    return Arm(
        label=label or result.sweep,
        seeds=tuple(s.seed for s in good),
        val_bpb=tuple(scores),
        val_loss=tuple(losses) if len(losses) == len(good) else (),
        total_bytes=tuple(totals) if len(totals) == len(good) else (),
        mean_bpb=found.mean if found else None,
        corpus=corpus or _corpus(scored),
        scored_bytes=scored,
        tokenizer=tokenizer,
        bytes_per_token=bytes_per_token(tokens, scored) if tokens and scored else None,
        stride=stride,
        cap_bytes=_one([s.cap_bytes for s in good]),
        left_out=tuple(_left_out(s) for s in result.seeds if s not in good),
    )


def arm_of_known(record: KnownRecord) -> Arm:
    """The seeds of a published line, or its published mean."""
    seeds, means = record.seeds, record.means or KnownMeans()
    losses = [s.val_loss for s in seeds if s.val_loss is not None]
    totals = [s.total_bytes for s in seeds if s.total_bytes is not None]
    score = record.score_bpb
    loss = record.val_loss.mean if record.is_complete else means.val_loss
    return Arm(
        label=record.label,
        seeds=tuple(s.seed for s in seeds),
        val_bpb=tuple(s.val_bpb for s in seeds),
        val_loss=tuple(losses) if len(losses) == len(seeds) else (),
        total_bytes=tuple(totals) if len(totals) == len(seeds) else (),
        mean_bpb=score,
        published=None if seeds else _moments(means.n, score, means.sd_bpb),
        published_n=None if seeds else means.n,
        published_loss=None if seeds else _moments(means.n, means.val_loss, means.sd_loss),
        corpus=record.corpus,
        tokenizer=record.tokenizer,
        bytes_per_token=bytes_per_token_of(record.tokenizer) if loss is None else implied_bytes_per_token(loss, score),
        stride=record.stride,
        cap_bytes=record.cap_bytes,
        scoring=record.scoring,
        status=record.status,
        date=record.date,
        pr=record.pr,
        base_pr=record.base_pr,
    )


def same_text(a: Arm, b: Arm) -> bool | None:
    """Whether both were scored on the same text; None where one of the two does not say."""
    if a.scored_bytes is not None and b.scored_bytes is not None:
        return a.scored_bytes == b.scored_bytes or (a.corpus == b.corpus == FINEWEB)
    return a.corpus == b.corpus if a.corpus and b.corpus else None


def same_tokenizer(a: Arm, b: Arm) -> bool | None:
    """Whether nats per token are of the same tokens; None where it is not known."""
    if a.bytes_per_token is not None and b.bytes_per_token is not None:
        return bool(same_text(a, b)) and isclose(a.bytes_per_token, b.bytes_per_token, rel_tol=_SAME_CUT)
    return a.tokenizer == b.tokenizer if a.tokenizer and b.tokenizer else None


def _moments(n: int | None, mean: float | None, sd: float | None) -> Moments | None:
    if n is None or n < 2 or mean is None or sd is None:
        return None
    return Moments(n=n, mean=mean, sd=sd)


def _one(values: Sequence[int | None]) -> int | None:
    """The value that all seeds share."""
    return values[0] if values and len(set(values)) == 1 else None


def _corpus(scored_bytes: int | None) -> str:
    if scored_bytes is None:
        return ""
    low, high = FINEWEB_BYTES
    return FINEWEB if low <= scored_bytes <= high else f"a text of {scored_bytes:,} bytes"


def _left_out(seed: SeedResult) -> str:
    return f"seed {seed.seed}: {seed.state}" if seed.state is not State.SUCCEEDED else f"seed {seed.seed}: no sliding score"
