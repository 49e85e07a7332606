"""Every run of one fingerprint below an output folder: what counts, and what failed, was cancelled or never ended.

A published mean is worth what its selection is worth, so the list holds all attempts of all sweeps whose recipe, data and
code are the same (RULES B2, row 14). The folders are the truth; nothing is asked of a job system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.errors import ArtifactError
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir, seed_folder
from recur.record.codec import from_json
from recur.record.report import JSON_NAME, read_sweep
from recur.record.result import SeedResult, State, SweepResult
from recur.record.rules.sweep import RunLine
from recur.seedspec import SWEEP_SPEC_FILE

RESULT_FILE, ERROR_FILE, CANCEL_FILE = "result.json", "error.json", "cancelled"
UNFINISHED = "UNFINISHED"


@dataclass(frozen=True, kw_only=True)
class Run(RunLine):
    """One attempt, also with what it weighs and why it does not count ("" where it does); ``shown``: it is in the mean."""

    total_bytes: int | None
    why: str


def read_spec(root: Path) -> dict[str, Any]:
    """The `sweep_spec.json` of a sweep's folder.

    Raises:
        ArtifactError: there is none, or it is not one.
    """
    path = root / SWEEP_SPEC_FILE
    if not path.is_file():
        raise ArtifactError(str(path), "is missing", "give the folder of a sweep, <out>/<sweep>")
    found = read_json(path)
    wanted = {"sweep", "seeds", "fingerprint", "dataset_root", "note", "recipe"}
    if not isinstance(found, dict) or not wanted <= set(found):
        raise ArtifactError(str(path), "is not a sweep's spec", "give the folder of a sweep, <out>/<sweep>")
    return found


def list_runs(root: Path, result: SweepResult) -> tuple[Run, ...]:
    """Every attempt with the fingerprint of ``result`` in ``root`` and in the sweeps beside it, in order.

    Args:
        root: `<out>/<sweep>`, whose result says which of its attempts count.
        result: of that sweep.
    """
    others = sorted(path.parent for path in root.parent.glob(f"*/{SWEEP_SPEC_FILE}") if path.parent != root)
    same = [folder for folder in others if _fingerprint(folder) == result.fingerprint]
    found = [*_runs_of(root, result, shown=True)]
    for folder in same:
        known = read_sweep(folder) if (folder / JSON_NAME).is_file() else None
        found += _runs_of(folder, known, shown=False)
    return tuple(found)


def _fingerprint(folder: Path) -> object:
    told = read_json(folder / SWEEP_SPEC_FILE)
    return told.get("fingerprint") if isinstance(told, dict) else None


def _runs_of(root: Path, result: SweepResult | None, *, shown: bool) -> Iterator[Run]:
    """The attempts of a sweep; its own word on the counting ones also knows of lost and timed-out jobs."""
    counting = {s.seed: s for s in result.seeds} if result else {}
    for seed in sorted({*read_spec(root)["seeds"], *counting}):
        found = [p.name[1:] for p in seed_folder(root, seed).glob("a*") if p.is_dir() and p.name[1:].isdecimal()]
        known = counting.get(seed)
        for number in sorted({int(n) for n in found} | ({known.attempt} if known else set())):
            named = known if known and known.attempt == number else None
            yield _run(root, AttemptDir(root, seed, number), named, shown=shown)


def _run(root: Path, attempt: AttemptDir, named: SeedResult | None, *, shown: bool) -> Run:
    found = named or _own_result(attempt)
    state, why = (found.state.value, found.error or "") if found else _ending(attempt)
    counts = shown and named is not None and named.state is State.SUCCEEDED
    if not why and not counts:
        why = "another attempt of the seed counts" if shown else "of another sweep"
    return Run(
        sweep=root.name,
        seed=attempt.seed,
        attempt=attempt.attempt,
        state=state,
        val_bpb=found.val_bpb.sliding if found else None,
        total_bytes=found.total_bytes if found else None,
        shown=counts,
        why=" ".join(why.split()),
    )


def _own_result(attempt: AttemptDir) -> SeedResult | None:
    path = attempt.path(RESULT_FILE)
    return from_json(SeedResult, read_json(path), where=str(path)) if path.exists() else None


def _ending(attempt: AttemptDir) -> tuple[str, str]:
    """State and reason of an attempt without a result."""
    error = attempt.path(ERROR_FILE)
    if error.exists():
        told = read_json(error)
        return State.FAILED.value, str(told.get("message", "")) if isinstance(told, dict) else str(told)
    if attempt.path(CANCEL_FILE).exists():
        return State.CANCELLED.value, "cancelled"
    return UNFINISHED, "left no result and no error"
