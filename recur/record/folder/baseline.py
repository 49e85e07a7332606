"""The sweep beside the published lines: what its numbers carry, and the one line that submission.json is held against.

The values are those that the logs print, the bytes those of the shipped files. All judging is `recur.record.stats`': scores of
different texts are never set against each other, so the embedded text of the small profiles has no line beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recur.errors import InputError
from recur.record.folder.figures import Figures
from recur.record.folder.source import FolderSource
from recur.record.known import KnownRecord, find_known, known_lines
from recur.record.stats.arm import Arm, arm_of_sweep
from recur.record.stats.claims import Claims, allowed_wording, frontier
from recur.record.stats.verdicts import NATS_PER_TOKEN, Relation, UnitTest, Verdict


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The sweep as one arm, what may be said of it, and the line that it is held against.

    Attributes:
        line: the line asked for, else the best accepted one.
        verdict: against that line; None where the two cannot be compared.
    """

    arm: Arm
    claims: Claims
    line: KnownRecord
    verdict: Verdict | None

    @property
    def nats(self) -> UnitTest | None:
        """The test in nats per token, where the tokenizers are the same."""
        tests = self.verdict.tests if self.verdict else ()
        return next((test for test in tests if test.unit == NATS_PER_TOKEN), None)


def beside(source: FolderSource, figures: Figures, pr: int | None) -> Beside:
    """Everything that compares, for the sweep with its shipped script.

    Args:
        pr: pull request to hold the score against; None takes the best accepted line.

    Raises:
        InputError: there is no such line.
    """
    arm, known = arm_of(source, figures), known_lines()
    line = frontier(known) if pr is None else find_known(str(pr))
    if line is None:
        raise InputError("known.toml", "has no accepted line", "name one by its pull request")
    claims = allowed_wording(arm, known)
    found = claims.against(line.label)
    comparable = found is not None and found.relation is not Relation.INCOMPARABLE and found.difference_bpb is not None
    return Beside(arm=arm, claims=claims, line=line, verdict=found if comparable else None)


def arm_of(source: FolderSource, figures: Figures) -> Arm:
    """The sweep as one side of a comparison."""
    return replace(
        arm_of_sweep(source.sweep, label="this run", stride=source.recipe.evaluate.stride),
        seeds=tuple(s.seed for s in figures.seeds),
        val_bpb=tuple(s.val_bpb for s in figures.seeds),
        val_loss=tuple(s.val_loss for s in figures.seeds),
        total_bytes=tuple(s.total_bytes for s in figures.seeds),
        mean_bpb=figures.val_bpb.mean,
        cap_bytes=source.recipe.artifact.cap_bytes,
    )
