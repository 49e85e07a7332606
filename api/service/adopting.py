"""A run of `ray job submit -- python jobs/record.py` (or of `recur record`) becomes a sweep of the service.

What counts is its folder: sweep_spec.json says what it is, each attempt's folder how far it came. Nothing in the folder is
changed. While its driver lives, the driver submits the seeds; so a seed that has not begun cannot be adopted before the driver
has ended (both would start it), and a lost seed is left to the driver.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.store import Store, sweeps
from api.store.adopting import Begun, Spec, adopt
from api.store.rows import NewSweep, Pool, SweepRow
from cluster.outcome import read_failure
from recur.errors import ArtifactError, InputError, StorageError
from recur.record.atomic import read_json
from recur.record.attempt import AttemptDir, next_attempt, read_seed_result
from recur.record.result import SeedResult, State
from recur.seedspec import SPEC_FILE, SWEEP_SPEC_FILE

_SWEEP_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,44}")
_WANTED = {"seeds", "fingerprint", "dataset_root", "recipe"}


class DriverLives(InputError):
    """Seeds have not begun and the run's driver still minds them; it may be asked again later."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is to be adopted.

    Attributes:
        root: its folder.
        submission: the Ray job it was found by, "" for none.
        driver_lives: the job system says that its driver runs.
    """

    root: Path
    submission: str = ""
    driver_lives: bool = False


def adopt_run(store: Store, out: Path, run: Run, *, ageing_s: float, clock: Callable[[], float] = time.time) -> SweepRow:
    """Bring a run into the table.

    Args:
        store: the service's database.
        out: the service's folder of sweeps; the run's must lie in it.
        run: which.
        ageing_s: the service's setting.
        clock: seconds since 1970.

    Returns:
        The sweep; the reconciler looks at what is open in it within a second.

    Raises:
        DriverLives: seeds have not begun and its driver still runs.
        InputError: it lies elsewhere, is no sweep, has a name that the service does not take, or is in the table already.
    """
    root = run.root.expanduser().resolve()
    spec = _read_spec(out, root)
    alive = run.driver_lives or _driven(root)
    seeds = tuple(int(seed) for seed in spec["seeds"])
    begun = [found for seed in seeds if (found := _begun(root, seed, retried=not alive)) is not None]
    missing = [seed for seed in seeds if seed not in {one.seed for one in begun}]
    if missing and alive:
        waiting = ", ".join(map(str, missing))
        rule = f"has seeds that its driver has not begun ({waiting})"
        raise DriverLives(f"run {root.name}", rule, "add --wait, or adopt it later")
    new = _new_sweep(root, spec, seeds, run.submission)
    prepared = Spec(
        fingerprint=str(spec["fingerprint"]),
        dataset_root=str(spec["dataset_root"]),
        note=str(spec.get("note", "")),
        recipe=spec["recipe"],
    )
    with store.write() as c:
        if sweeps.get(c, root.name) is not None:
            raise InputError(f"sweep {root.name}", "is in the table already", f"see it with: recur sweep show {root.name}")
        return adopt(c, new, prepared, begun, now=clock(), ageing_s=ageing_s)


def _read_spec(out: Path, root: Path) -> Mapping[str, Any]:
    if root.parent != out:
        remedy = f"start the service with --out {root.parent}, or move the run's folder into {out}"
        raise InputError(f"run {root}", f"does not lie in the service's folder {out}", remedy)
    if not _SWEEP_ID.fullmatch(root.name):
        rule = "must be a name of at most 45 of a-z, 0-9 and '-', starting with none of '-'"
        raise InputError(f"run {root.name!r}", rule, "it cannot be adopted; its folder holds all results")
    path = root / SWEEP_SPEC_FILE
    if not path.is_file():
        raise InputError(f"run {root}", f"has no {SWEEP_SPEC_FILE}", "give the folder or the submission id of a sweep's driver")
    found = read_json(path)
    if not isinstance(found, dict) or not set(found) >= _WANTED or not isinstance(found["recipe"], dict):
        raise InputError(str(path), "is not a sweep's spec", "give the folder or the submission id of a sweep's driver")
    return found


def _new_sweep(root: Path, spec: Mapping[str, Any], seeds: tuple[int, ...], submission: str) -> NewSweep:

    from recur.recipe import recipe_from_json  # a second of loading

    recipe = recipe_from_json(json.dumps(spec["recipe"]))
    return NewSweep(
        sweep=root.name,
        name=root.name,
        profile=recipe.profile,
        overrides={},
        recipe=spec["recipe"],
        seeds=seeds,
        priority=0,
        baseline=None,
        pool=Pool.GPU if recipe.cluster.gpus_per_worker else Pool.CPU,
        created_at=(root / SWEEP_SPEC_FILE).stat().st_mtime,
        request_id=f"adopted {submission}".strip(),
    )


def _driven(root: Path) -> bool:
    """Whether a process on this file system drives the run."""
    from cluster.storage import sole_driver  # loads torch

    try:
        with sole_driver(root):
            return False
    except StorageError:
        return True


def _begun(root: Path, seed: int, *, retried: bool) -> Begun | None:
    """Where a seed stands; None when it has not begun."""
    number = next_attempt(root, seed) - 1
    attempt = AttemptDir(root, seed, number)
    if number == 0 or not attempt.path(SPEC_FILE).exists():
        return None
    ended = _ended_without_numbers(root, seed, number)
    at = attempt.path(SPEC_FILE).stat().st_mtime
    if ended is None:
        return Begun(seed=seed, attempt=number, at=at, retried=retried)
    failure = read_failure(attempt)
    reason = ended.error or (failure.message if failure else None)
    return Begun(seed=seed, attempt=number, at=at, state=ended.state, reason=reason)


def _ended_without_numbers(root: Path, seed: int, attempt: int) -> SeedResult | None:
    """What its driver wrote when it closed the seed; None where numbers, or nothing, are there to be looked at."""
    try:
        closed = read_seed_result(root, seed)
    except ArtifactError:
        return None  # damaged: the reconciler looks at the attempt itself and says what is wrong
    if closed is None or closed.attempt != attempt or closed.state in (State.SUCCEEDED, State.INVALID):
        return None
    return closed if closed.state.terminal else None
