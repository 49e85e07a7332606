"""The published line that a sweep is held against, and Welch's test with it; None where the two cannot be compared.

Scores of different texts are never set against each other: the embedded text of the small profiles has no published line.
Nats per token are compared only under one tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recur.record.folder.figures import Figures
from recur.record.folder.source import FolderSource
from recur.record.known import KnownRecord, find_known
from recur.record.stats.arm import Arm, arm_of_known, arm_of_sweep, same_text, same_tokenizer
from recur.record.stats.units import MARGIN_NATS, margin_bpb
from recur.record.stats.welch import Welch, welch_of


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A comparison with one line.

    Attributes:
        delta_bpb: our mean minus theirs; below zero is better.
        delta_nats: the same in nats per token; None under another tokenizer.
        test: for "lower at all", in BPB; None below two seeds on a side.
        strict: for "lower by more than .005 nats per token", the challenge's own rule.
    """

    line: KnownRecord
    delta_bpb: float
    delta_nats: float | None
    test: Welch | None
    strict: Welch | None


def arm_of(source: FolderSource, figures: Figures) -> Arm:
    """The sweep as one side of a comparison, with the values as its logs print them and the bytes as shipped."""
    return replace(
        arm_of_sweep(source.sweep, stride=source.recipe.evaluate.stride),
        seeds=tuple(s.seed for s in figures.seeds),
        val_bpb=tuple(s.val_bpb for s in figures.seeds),
        val_loss=tuple(s.val_loss for s in figures.seeds),
        total_bytes=tuple(s.total_bytes for s in figures.seeds),
        mean_bpb=figures.val_bpb.mean,
    )


def against(source: FolderSource, figures: Figures, pr: int) -> Baseline | None:
    """The comparison with the line of pull request ``pr``; None where the texts differ.

    Raises:
        InputError: there is no such line.
    """
    line = find_known(str(pr))
    ours, theirs = arm_of(source, figures), arm_of_known(line)
    if same_text(ours, theirs) is not True:
        return None
    per_token = ours.bytes_per_token
    losses = ours.loss, theirs.loss
    alike = same_tokenizer(ours, theirs) is True and losses[0] is not None and losses[1] is not None
    return Baseline(
        line=line,
        delta_bpb=figures.val_bpb.mean - line.score_bpb,
        delta_nats=losses[0].mean - losses[1].mean if alike and losses[0] and losses[1] else None,
        test=_test(ours, theirs, 0.0),
        strict=None if per_token is None else _test(ours, theirs, margin_bpb(per_token, MARGIN_NATS)),
    )


def _test(ours: Arm, theirs: Arm, margin: float) -> Welch | None:
    return None if ours.bpb is None or theirs.bpb is None else welch_of(ours.bpb, theirs.bpb, margin=margin)
