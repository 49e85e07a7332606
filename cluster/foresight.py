"""What a sweep's number of seeds will be able to tell, said before it starts."""

from __future__ import annotations

from pathlib import Path

from recur.config import Recipe
from recur.errors import ArtifactError
from recur.record.known import find_known
from recur.record.report import JSON_NAME, read_sweep
from recur.record.result import SweepResult
from recur.record.stats.power import planned

REFERENCE = "1421"
"""The published line whose deviation stands in for a recipe of the record's size that has not run here."""


def foresee(out: Path, recipe: Recipe, seeds: int) -> str:
    """One line: the difference in BPB that ``seeds`` seeds resolve, at the deviation of the newest sweep of this profile.

    Args:
        out: folder of earlier sweeps.
        recipe: of the sweep that is to start.
        seeds: how many it has.
    """
    earlier = _newest(out, recipe.profile)
    if earlier is not None and earlier.std_val_bpb:
        return f"{planned(seeds, earlier.std_val_bpb)} (the deviation of {earlier.sweep})"
    published = find_known(REFERENCE).val_bpb.sd
    if recipe.train.wallclock_s > 0 and published:
        return f"{planned(seeds, published)} (the deviation of PR {REFERENCE})"
    return f"{seeds} seeds: what they resolve is unknown until a sweep of this profile has shown its deviation"


def _newest(out: Path, profile: str) -> SweepResult | None:
    """The newest readable sweep of a profile that has a deviation."""
    for file in sorted(out.glob(f"*/{JSON_NAME}"), key=lambda path: -path.stat().st_mtime):
        try:
            found = read_sweep(file)
        except ArtifactError:
            continue  # a damaged file of an earlier sweep is not this sweep's business
        if found.profile == profile and found.std_val_bpb:
            return found
    return None
