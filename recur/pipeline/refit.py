"""Quantize, fit and evaluate a finished training again with other settings: no training, a new attempt's folder.

The checkpoint and calibration of an attempt are adopted by their records, so they are those bytes; everything after them runs
as in any attempt. Settings that shaped the training itself cannot be changed here. Beside the scores comes KL(trained || round
trip) on training text that the run has not seen: rules and exponents are chosen by it, never on validation text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from recur.config import Recipe
from recur.data.dataset import load_dataset
from recur.errors import ArtifactError, RecipeError
from recur.evaluate.artifact import load_model
from recur.evaluate.divergence import Divergence, divergences, held_out_training_windows
from recur.pipeline.backend import Backend, default_device
from recur.pipeline.recalibrate import CalibrateItem, calibrate_share
from recur.pipeline.run import SeedRun
from recur.pipeline.scoring import ARTIFACT_FILE
from recur.pipeline.trained import trained_model
from recur.record.attempt import AttemptDir, PhaseRecord
from recur.record.bundle import with_code_bytes
from recur.record.result import Phase, SeedResult
from recur.seedspec import SPEC_FILE, SeedSpec, load_spec
from recur.train.checkpoint import load_summary, load_trained, payloads, save_trained

CHANGEABLE = ("quantize", "artifact", "evaluate", "cluster")
"""Branches of the recipe that a refit may change."""
CALIBRATION_KEYS = ("calibration_batches", "hessian_ranks", "fisher_batches", "passthrough_numel")
"""Keys of ``quantize`` that decide what calibration sums, and over what."""
HELD_OUT_TOKENS = 81_920
"""Positions of the divergence: its standard error is then a few per cent of it (QUANTIZATION 2)."""


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What a refit found.

    Attributes:
        result: of the new attempt.
        divergence: on training text that the run has not seen; None when nothing fits.
        compressions: containers that the fit built; None when nothing fits.
        folder: of the new attempt.
    """

    result: SeedResult
    divergence: Divergence | None
    compressions: int | None
    folder: Path


def attempt_of(path: Path) -> SeedSpec:
    """The spec of an attempt's folder ``<out>/<sweep>/seed_<n>/a<k>``, or of the one that holds an artifact.

    Raises:
        ArtifactError: it is no such folder.
    """
    folder = path.parent if path.is_file() else path
    spec = load_spec(folder / SPEC_FILE)
    root, named = folder.resolve(), (f"seed_{spec.seed}", f"a{spec.attempt}")
    if root.parts[-2:] != named:
        rule = f"is not the folder {'/'.join(named)} of its spec"
        raise ArtifactError(str(folder), rule, "give results/<sweep>/seed_<n>/a<k>")
    return replace(spec, out=root.parents[2], sweep=root.parents[1].name)


def refit_recipe(trained: Recipe, wanted: Recipe, *, recalibrated: bool = False) -> Recipe:
    """``wanted`` with the size of its own script; it may differ from what was trained only in `CHANGEABLE`.

    Raises:
        RecipeError: it differs elsewhere, or in what calibration sums without being ``recalibrated``.
    """
    for branch in ("model", "optim", "train", "data"):
        if getattr(trained, branch) != getattr(wanted, branch):
            rule = f"cannot be changed by a refit, only {', '.join(CHANGEABLE)} can"
            raise RecipeError(f"--set {branch}...", rule, "train again with jobs/record.py")
    for key in CALIBRATION_KEYS:
        before, after = getattr(trained.quantize, key), getattr(wanted.quantize, key)
        if before != after and not recalibrated:
            rule = f"is not what the attempt was calibrated with ({before})"
            raise RecipeError(f"--set quantize.{key}={after}", rule, "calibrate again: add --recalibrate 1 (or more shares)")
    return with_code_bytes(wanted)


def refit(
    source: SeedSpec,
    recipe: Recipe,
    *,
    out: Path,
    sweep: str,
    backend: Backend,
    recalibrate_shares: int = 0,
    held_out_tokens: int = HELD_OUT_TOKENS,
) -> Refit:
    """Quantize, fit and evaluate the training of ``source`` with ``recipe``.

    Args:
        source: a finished attempt (`attempt_of`).
        recipe: from `refit_recipe`.
        out: output folder; the new attempt is ``out/sweep/seed_<n>/a1``.
        sweep: name of the folder; must be new.
        backend: where items run.
        recalibrate_shares: calibrate again, as so many items; 0 keeps the calibration of the training.
        held_out_tokens: positions of the divergence.

    Raises:
        ArtifactError: the source's training is not finished or damaged, or the new folder exists.
        RecurError: quantizing failed.
    """
    spec = replace(source, recipe=recipe, out=out, sweep=sweep, attempt=1)
    attempt, wanted = spec.attempt_dir, (Phase.TRAIN, Phase.CALIBRATE)
    if attempt.folder.exists():
        raise ArtifactError(str(attempt.folder), "exists already", "give another --sweep or --out")
    if any(source.attempt_dir.read_record(phase) is None for phase in wanted):
        raise ArtifactError(str(source.attempt_dir.folder), "has no finished training", "give a finished attempt")
    attempt.create().adopt(source.attempt_dir, wanted)
    if recalibrate_shares:
        _recalibrate(spec, backend, recalibrate_shares)
    result = SeedRun(spec, backend).run()
    if result.model_bytes is None:
        return Refit(result=result, divergence=None, compressions=None, folder=attempt.folder)
    divergence = training_divergence(spec, held_out_tokens)
    return Refit(result=result, divergence=divergence, compressions=_compressions(attempt), folder=attempt.folder)


def _compressions(attempt: AttemptDir) -> int:
    """Containers that the fit built: the solver's trials, or the passes of pruning."""
    fields = _record(attempt, Phase.FIT).fields
    return int(str(fields.get("compressions", fields.get("passes"))))


def _record(attempt: AttemptDir, phase: Phase) -> PhaseRecord:
    record = attempt.read_record(phase)
    if record is None:
        raise ArtifactError(f"record of {phase} in {attempt.folder}", "is missing", "refit again under another --sweep")
    return record


def _recalibrate(spec: SeedSpec, backend: Backend, shares: int) -> None:
    """Sum Hessians and moments again with the spec's recipe, off the clock; the attempt's records then name the new files."""
    attempt, folder = spec.attempt_dir, spec.attempt_dir.folder
    train, calibrate, world = _record(attempt, Phase.TRAIN), _record(attempt, Phase.CALIBRATE), _world(attempt)
    items = [
        CalibrateItem(
            folder=folder,
            dataset_root=spec.dataset_root,
            recipe=spec.recipe,
            world=world,
            part=part,
            parts=shares,
        )
        for part in range(shares)
    ]
    names = [f"calibrate[seed={spec.seed} {part + 1}/{shares}]" for part in range(shares)]
    found = reduce(add, backend.map(calibrate_share, items, names=names, progress=lambda done: None, on_device=True))
    trained = replace(load_trained(folder), hessians=found.hessians, moments=found.moments)
    save_trained(folder, trained)
    attempt.write_record(Phase.TRAIN, train.fields, payloads(folder))
    attempt.write_record(Phase.CALIBRATE, {**calibrate.fields, "batches": found.hessians.batches, "again": True})


def _world(attempt: AttemptDir) -> int:
    """Ranks that the attempt was trained with."""
    placement: Any = _record(attempt, Phase.TRAIN).fields["placement"]
    return int(placement["world_size"])


def training_divergence(spec: SeedSpec, tokens: int = HELD_OUT_TOKENS) -> Divergence:
    """KL of an attempt's artifact to its trained weights on training text that its run has not seen."""
    recipe, folder, device = spec.recipe, spec.attempt_dir.folder, default_device()
    summary, world = load_summary(folder), _world(spec.attempt_dir)
    accumulated = recipe.train.micro_batches // world
    teacher = trained_model(folder, recipe, device, recurrence=summary.recurrence_active)
    student = load_model(folder / ARTIFACT_FILE, recipe, device, recurrence=summary.recurrence_active)
    windows = held_out_training_windows(
        load_dataset(spec.dataset_root),
        seq_len=recipe.model.train_seq_len,
        batch_tokens=recipe.train.batch_tokens // accumulated,
        skip_batches=summary.steps * accumulated,
        tokens=tokens,
        world=world,
    )
    return divergences(
        teacher,
        {"artifact": student},
        windows,
        batch_windows=max(1, recipe.evaluate.val_batch_tokens // recipe.model.train_seq_len),
        device=device,
        autocast=recipe.train.precision == "bf16",
    )["artifact"]
