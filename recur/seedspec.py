"""What one seed job is told: a small JSON file that its driver writes before it submits the job.

The job's command line carries only the path of this file, so nothing from a request is ever part of a shell line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.config import Recipe
from recur.errors import ArtifactError
from recur.recipe import recipe_from_json, recipe_to_json
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.result import Phase

SPEC_FILE = "spec.json"
SWEEP_SPEC_FILE = "sweep_spec.json"
"""What a driver writes into a sweep's folder before its first job: seeds, recipe, data and their fingerprint."""
PHASES = tuple(phase for phase in Phase if phase is not Phase.SETUP)
"""Phases that leave a record, in order; what a later attempt may adopt."""


@dataclass(frozen=True, kw_only=True)
class SeedSpec:
    """One attempt of one seed.

    Attributes:
        sweep: name of the sweep; its folder is ``out / sweep``.
        seed: the seed.
        attempt: 1, 2, ...
        recipe: the whole recipe.
        dataset_root: the prepared dataset, absolute.
        out: the output folder, absolute.
        note: what is odd about the placement ("" for nothing), e.g. ``not a record placement``.
        checkpoints: research mode: a folder or s3:// address above the sweeps' checkpoints; "": the sweep's own folder.
    """

    sweep: str
    seed: int
    attempt: int
    recipe: Recipe
    dataset_root: Path
    out: Path
    note: str = ""
    checkpoints: str = ""

    @property
    def sweep_root(self) -> Path:
        """``out / sweep``."""
        return self.out / self.sweep

    @property
    def attempt_dir(self) -> AttemptDir:
        """Where the attempt's files lie."""
        return AttemptDir(self.sweep_root, self.seed, self.attempt)


def save_spec(path: Path, spec: SeedSpec) -> None:
    """Write ``spec`` as JSON, whole or not at all.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json_atomic(
        path,
        {
            "sweep": spec.sweep,
            "seed": spec.seed,
            "attempt": spec.attempt,
            "dataset_root": str(spec.dataset_root),
            "out": str(spec.out),
            "note": spec.note,
            "checkpoints": spec.checkpoints,
            "recipe": json.loads(recipe_to_json(spec.recipe)),
        },
    )


def load_spec(path: Path) -> SeedSpec:
    """Read what `save_spec` wrote.

    Raises:
        ArtifactError: missing or of another form.
        RecipeError: its recipe is not one.
    """
    try:
        tree: Any = read_json(path)
        return SeedSpec(
            sweep=str(tree["sweep"]),
            seed=int(tree["seed"]),
            attempt=int(tree["attempt"]),
            recipe=recipe_from_json(json.dumps(tree["recipe"])),
            dataset_root=Path(tree["dataset_root"]),
            out=Path(tree["out"]),
            note=str(tree["note"]),
            checkpoints=str(tree.get("checkpoints", "")),
        )
    except FileNotFoundError as error:
        raise ArtifactError(str(path), "does not exist", "give the spec.json of an attempt") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(str(path), f"is not a seed's spec ({error!r})", "let record.py write it") from error


def program_of(sweep_spec: Path) -> str | None:
    """The hash of the source that a sweep was begun with (`recur.recipe.source_sha256`); None where its file does not tell.

    Raises:
        ArtifactError: the file is no JSON.
    """
    if not sweep_spec.exists():
        return None
    told: Any = read_json(sweep_spec)
    found = told.get("source_sha256") if isinstance(told, dict) else None
    return found if isinstance(found, str) else None
