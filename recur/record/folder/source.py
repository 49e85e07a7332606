"""Everything that a record folder is made from, gathered once from a sweep's folder into one frozen value.

After `gather` no writer reads the sweep again, except to copy whole files; so every table and every line speaks of the same
moment. Source of each part: sweep.json (results), sweep_spec.json (recipe, data, note), the counting attempt of each seed
(progress.jsonl, intervals.jsonl, clock.json, gates.json, its records, its artifact), dataset.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recur.config import Recipe
from recur.data.dataset import Dataset, load_dataset
from recur.errors import ArtifactError
from recur.evaluate.bpb import Score
from recur.recipe import recipe_from_json
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir, PhaseRecord, artifact_path
from recur.record.attempt.payload import check_file
from recur.record.codec import from_json
from recur.record.environment import environment
from recur.record.folder.runs import Run, list_runs, read_spec
from recur.record.journal import Event, read_events
from recur.record.report import read_sweep
from recur.record.result import Phase, SeedResult, State, SweepResult
from recur.record.rules.gate import Gate
from recur.record.rules.sweep import sweep_gates

GATES_FILE = "gates.json"
"""What the pipeline leaves in an attempt's folder, and the name of the same table in the record folder."""


@dataclass(frozen=True, kw_only=True)
class SeedSource:
    """One seed that SUCCEEDED: its result and what its attempt left.

    Attributes:
        clock: clock.json: train_s, data_read_s, eval_s and stamps.
        environment: what it ran with, as `recur.record.environment` gives it; None where the attempt did not record it.
        artifact: the file, whose hash is the result's.
    """

    result: SeedResult
    attempt: Path
    artifact: Path
    events: tuple[Event, ...]
    intervals: tuple[Event, ...]
    records: tuple[PhaseRecord, ...]
    clock: Mapping[str, object]
    environment: Mapping[str, object] | None
    gates: tuple[Gate, ...]

    def fields(self, phase: Phase) -> Mapping[str, object]:
        """Fields of the phase's record; empty where it has none."""
        return next((r.fields for r in self.records if r.phase is phase), {})

    @property
    def summary(self) -> Mapping[str, object]:
        """The numbers of training, as `recur.train.checkpoint.TrainSummary` has them."""
        return _mapping(self.fields(Phase.TRAIN).get("summary"))

    @property
    def scores(self) -> dict[str, Score]:
        """The score of every stage of the evaluation, in order."""
        told = _mapping(self.fields(Phase.EVALUATE).get("scores"))
        return {name: from_json(Score, score, where=f"score {name} of {self.attempt}") for name, score in told.items()}


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """One sweep as it is published.

    Attributes:
        seeds: those that SUCCEEDED, in the sweep's order; means and deviations are over them.
        gates: of the sweep as a whole.
        runs: every attempt of this fingerprint, failed ones included.
        note: what is odd about the placement, "" for nothing.
        environments: the different ones of the seeds.
        environment_recorded: False where a seed recorded none; without any, the one that writes the folder stands for them.
    """

    sweep: SweepResult
    recipe: Recipe
    dataset: Dataset
    note: str
    seeds: tuple[SeedSource, ...]
    gates: tuple[Gate, ...]
    runs: tuple[Run, ...]
    environments: tuple[Mapping[str, object], ...]
    environment_recorded: bool

    @property
    def ended_at(self) -> float:
        """When the last phase of a counting seed ended, seconds since 1970."""
        return max(record.at for seed in self.seeds for record in seed.records)

    @property
    def all_gates(self) -> tuple[Gate, ...]:
        """Gates of every counting seed and of the sweep."""
        return (*(gate for seed in self.seeds for gate in seed.gates), *self.gates)


def gather(root: Path) -> FolderSource:
    """Read a finished sweep, `<out>/<sweep>`.

    Raises:
        ArtifactError: a file is missing, damaged or of another form, no seed SUCCEEDED with a sliding score, or a counting
            seed has no gates.
        DataError: the dataset has gone or changed.
    """
    result, spec = read_sweep(root), read_spec(root)
    if spec["fingerprint"] != result.fingerprint:
        rule = f"is not that of sweep.json, {result.fingerprint[:12]}"
        raise ArtifactError(f"{root} fingerprint {spec['fingerprint'][:12]}", rule, "start a new sweep")
    if (reason := unpublishable(result)) is not None:
        raise ArtifactError(f"sweep {root}", reason, "there is nothing to publish")
    seeds = tuple(_seed(root, s) for s in result.seeds if s.state is State.SUCCEEDED)
    runs = list_runs(root, result)
    recorded = [s.environment for s in seeds if s.environment is not None]
    distinct = [e for i, e in enumerate(recorded) if e not in recorded[:i]]
    return FolderSource(
        sweep=result,
        recipe=recipe_from_json(json.dumps(spec["recipe"])),
        dataset=load_dataset(Path(spec["dataset_root"])),
        note=str(spec["note"]),
        seeds=seeds,
        gates=sweep_gates(result.seeds, [str(s.fields(Phase.VERIFY).get("fingerprint")) for s in seeds], runs),
        runs=runs,
        environments=tuple(distinct) or (environment(),),
        environment_recorded=len(recorded) == len(seeds),
    )


def unpublishable(result: SweepResult) -> str | None:
    """Why a finished sweep has nothing to publish; None where it has a record folder's worth of results."""
    good = [s for s in result.seeds if s.state is State.SUCCEEDED]
    if not good:
        return "has no seed that SUCCEEDED"
    lacking = [str(s.seed) for s in good if s.val_bpb.sliding is None or s.val_loss.sliding is None]
    return f"has no sliding score of seed {', '.join(lacking)}: evaluate.modes did not name it" if lacking else None


def _seed(root: Path, result: SeedResult) -> SeedSource:
    where = f"seed {result.seed} of {root}"
    attempt = AttemptDir(root, result.seed, result.attempt)
    artifact = artifact_path(root, result.seed)
    if artifact is None or result.model_sha256 is None or artifact.parent != attempt.folder:
        raise ArtifactError(where, f"does not point to an artifact of attempt {result.attempt}", "resume the sweep")
    check_file(artifact, result.model_sha256)
    records = tuple(record for phase in Phase if (record := _record(attempt, phase)) is not None)
    told = next((r.fields["environment"] for r in records if "environment" in r.fields), None)
    found = SeedSource(
        result=result,
        attempt=attempt.folder,
        artifact=artifact,
        events=tuple(read_events(attempt.path("progress.jsonl"))),
        intervals=tuple(read_events(attempt.path("intervals.jsonl"))),
        records=records,
        clock=attempt.read_clock() or {},
        environment=_mapping(told) or None,
        gates=_gates(attempt, where),
    )
    _check_scores(found, where)
    return found


def _gates(attempt: AttemptDir, where: str) -> tuple[Gate, ...]:
    path = attempt.path(GATES_FILE)
    if not path.is_file():
        raise ArtifactError(where, "has no gates", "run the seed again: it checks its rules when it verifies")
    return from_json(_GateList, {"gates": read_json(path)}, where=str(path)).gates


@dataclass(frozen=True, kw_only=True)
class _GateList:
    gates: tuple[Gate, ...]


def _check_scores(seed: SeedSource, where: str) -> None:
    """The log is written from the record, the mean from the result: both must say the same."""
    scores = seed.scores
    for name in ("trained", "roundtrip", "sliding"):
        said = getattr(seed.result.val_bpb, name), getattr(seed.result.val_loss, name)
        held = (scores[name].val_bpb, scores[name].val_loss) if name in scores else (None, None)
        if said != held:
            rule = f"is {said} in its result and {held} in its record of evaluate"
            raise ArtifactError(f"{where} {name} score", rule, "the files were changed: run the seed again")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _record(attempt: AttemptDir, phase: Phase) -> PhaseRecord | None:
    """The record without reading its payloads again: only the artifact goes into the folder, and that is checked."""
    path = attempt.path(f"record_{phase.value}.json")
    return from_json(PhaseRecord, read_json(path), where=str(path)) if path.exists() else None
