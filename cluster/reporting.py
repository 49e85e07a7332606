"""What a sweep leaves when its seeds have ended: sweep.json, results.csv, plots, and the record folder.

Used by the command line (`cluster.driver`) and, in a process of its own, by the service: `report_outcome` reads an
outcome.json that holds one result a seed, and writes the same files as record.py, then report.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.errors import ArtifactError, InputError
from recur.record.atomic import read_json, write_json_atomic
from recur.record.codec import from_json
from recur.record.folder import About, unpublishable
from recur.record.folder.publish import publish
from recur.record.folder.runs import read_spec
from recur.record.plots import read_histories, write_plots
from recur.record.report import write_sweep
from recur.record.result import SeedResult, State, SweepResult, summarise

OUTCOME_FILE, REPORT_FILE = "outcome.json", "report.json"


@dataclass(frozen=True, kw_only=True)
class Published:
    """The record folder, or why there is none ("" where there is nothing to publish yet)."""

    folder: Path | None
    why_not: str = ""


def publish_sweep(root: Path, result: SweepResult, about: About) -> Published:
    """Write the record folder, where there is something to publish; what keeps it from being written is told, the sweep stands.

    Args:
        root: `<out>/<sweep>`.
        result: as it was written there.
        about: what only the submitter knows.
    """
    if not all(seed.state in (State.SUCCEEDED, State.INVALID) for seed in result.seeds):
        return Published(folder=None)
    if reason := unpublishable(result):
        return Published(folder=None, why_not=f"no record folder: the sweep {reason}")
    try:
        return Published(folder=publish(root, about))
    except InputError as error:
        return Published(folder=None, why_not=f"no record folder: {error} (then: recur folder {root})")


def report_outcome(root: Path) -> Published:
    """Write all files of the sweep in ``root`` from its outcome.json, and report.json last.

    Raises:
        ArtifactError: outcome.json or sweep_spec.json is missing or damaged.
        StorageError: the disk is full or not writable.
    """
    spec = read_spec(root)
    result = summarise(root.name, str(spec["recipe"]["profile"]), str(spec["fingerprint"]), read_outcome(root))
    write_sweep(root, result)
    write_plots(root, result, read_histories(root, result))
    done = publish_sweep(root, result, About())
    record = str(done.folder.relative_to(root)) if done.folder else None
    write_json_atomic(root / REPORT_FILE, {"record_path": record, "warning": done.why_not or None})
    return done


def read_outcome(root: Path) -> list[SeedResult]:
    """The results in outcome.json.

    Raises:
        ArtifactError: there is none, or it is not one.
    """
    path, remedy = root / OUTCOME_FILE, "let the service write it when the last seed has ended"
    if not path.is_file():
        raise ArtifactError(str(path), "does not exist", remedy)
    told: Any = read_json(path)
    rows = told.get("seeds") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise ArtifactError(str(path), "is not an outcome", remedy)
    return [from_json(SeedResult, row, where=str(path)) for row in rows]
