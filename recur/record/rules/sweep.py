"""The gates of a sweep: enough seeds, one fingerprint over all of them, and every run of that fingerprint named.

Source: RULES B2, rows 1 and 14. A run of the same fingerprint in another sweep counts as much as one of this sweep: choosing the
best seeds of several sweeps is what the list makes visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recur.record.result import SeedResult, State
from recur.record.rules.gate import Gate, judged

ENOUGH_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One attempt of the fingerprint, wherever it ran.

    Attributes:
        sweep: name of its sweep.
        state: in words; an attempt without a result is what its folder shows.
        val_bpb: the sliding score; None without.
        shown: whether the sweep at hand counts it.
    """

    sweep: str
    seed: int
    attempt: int
    state: str
    val_bpb: float | None
    shown: bool


def sweep_gates(seeds: Sequence[SeedResult], fingerprints: Sequence[str], runs: Sequence[RunLine]) -> tuple[Gate, ...]:
    """The gates over all seeds.

    Args:
        seeds: results of the sweep at hand.
        fingerprints: computed by each attempt that counts.
        runs: every attempt of the fingerprint below the output folder.
    """
    good = [s for s in seeds if s.state is State.SUCCEEDED]
    totals = [s.total_bytes for s in good if s.total_bytes is not None]
    caps = {s.cap_bytes for s in good}
    different = sorted(set(fingerprints))
    others = [run for run in runs if not run.shown]
    enough = judged(
        "seeds that count", len(good), ENOUGH_SEEDS, len(good) >= ENOUGH_SEEDS, why="" if good else "none", source="sweep.json"
    )
    one = judged(
        "one fingerprint",
        len(different),
        1,
        len(different) == 1,
        why=", ".join(f[:12] for f in different),
        source="record_verify.json of each seed",
    )
    named = {(run.seed, run.attempt) for run in runs if run.shown}
    all_named = all((s.seed, s.attempt) in named for s in good)
    listed = judged(
        "all runs of the fingerprint listed",
        len(runs),
        len(runs),
        all_named,
        why=f"{len(others)} beyond the seeds that count",
        source="attempts below the output folder",
    )
    largest = judged(
        "largest total bytes",
        max(totals, default=None),
        min((cap for cap in caps if cap is not None), default=None),
        bool(totals) and all(s.total_bytes is not None and s.total_bytes <= (s.cap_bytes or 0) for s in good),
        source="sweep.json",
    )
    return (enough, one, listed, largest)
