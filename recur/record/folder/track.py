"""Which track a sweep may be filed under, and in words why not the timed one.

The timed track is eight H100, the published FineWeb shards, 600 s for training and 600 s for evaluation, 16,000,000 bytes, three
seeds of one recipe (RULES B2). Everything else is a `non_record` submission, and its README says what keeps it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recur.record.folder.figures import Figures
from recur.record.folder.source import FolderSource, SeedSource
from recur.record.rules.gate import Gate, Verdict

TIMED, UNTIMED = "10min_16mb", "non_record_16mb"
CAP_BYTES = 16_000_000
GPUS = 8
GPU = "H100"
TRAIN_LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Track:
    """The track, and what keeps the sweep out of the timed one (nothing when it is in it)."""

    name: str
    against: tuple[str, ...]

    @property
    def folder(self) -> str:
        """`track_10min_16mb`."""
        return f"track_{self.name}"


def track_of(source: FolderSource, figures: Figures) -> Track:
    """The track of a sweep with a script; the timed one only where nothing speaks against it."""
    against = tuple(dict.fromkeys((*_about_run(source, figures), *_about_gates(source))))
    return Track(name=UNTIMED if against else TIMED, against=against)


def hardware(source: FolderSource) -> str:
    """What trained and evaluated, e.g. `8xNVIDIA H100 80GB HBM3`; several kinds with "; "."""
    return "; ".join(dict.fromkeys(_hardware(seed) for seed in source.seeds))


def devices(seed: SeedSource) -> list[str]:
    """Name of the device of every rank."""
    placement: Mapping[str, object] = seed.result.placement or {}
    ranks = placement.get("ranks")
    if isinstance(ranks, list):
        return [str(rank.get("device", "unknown")) for rank in ranks if isinstance(rank, dict)]
    world = placement.get("world_size")
    return [str(placement.get("device", "unknown"))] * (world if isinstance(world, int) else 1)


def _hardware(seed: SeedSource) -> str:
    names = Counter("CPU process" if name == "cpu" else name for name in devices(seed))
    return " + ".join(f"{count}x{name}" for name, count in sorted(names.items()))


def _about_run(source: FolderSource, figures: Figures) -> Iterator[str]:
    recipe = source.recipe
    if recipe.data.source != "shards":
        yield f"the text is not FineWeb but {source.dataset.origin}"
    for seed in source.seeds:
        if len(found := devices(seed)) != GPUS or not all(GPU in name for name in found):
            yield f"it ran on {_hardware(seed)}, not on {GPUS}x{GPU}"
    if source.note:
        yield source.note
    if recipe.mode != "record":
        yield f"the recipe's mode is {recipe.mode}"
    if not 0 < recipe.train.wallclock_s <= TRAIN_LIMIT_S:
        yield f"the recipe sets no clock of {TRAIN_LIMIT_S:g} s for training"
    if recipe.artifact.cap_bytes != CAP_BYTES:
        yield f"its cap is {recipe.artifact.cap_bytes:,} bytes, not {CAP_BYTES:,}"
    if figures.max_total_bytes > CAP_BYTES:
        yield f"artifact and script are {figures.max_total_bytes:,} bytes, more than {CAP_BYTES:,}"


def _about_gates(source: FolderSource) -> Iterator[str]:
    """One reason a broken rule, with the seeds that break it. A rule that is n/a does not count here:
    off the track's machine the clocks are, and the machine is a reason of its own above."""
    broken: dict[tuple[str, str], list[int]] = {}
    for seed in source.seeds:
        for gate in seed.gates:
            if gate.verdict is Verdict.FAIL:
                broken.setdefault((gate.name, _found(gate)), []).append(seed.result.seed)
    for (name, found), numbers in broken.items():
        yield f"rule '{name}' is broken by seed {', '.join(map(str, numbers))}: {found}"
    for gate in source.gates:
        if gate.verdict is Verdict.FAIL:
            yield f"rule '{gate.name}' is broken: {_found(gate)}"


def _found(gate: Gate) -> str:
    return gate.why or f"{gate.value} against {gate.limit}"
