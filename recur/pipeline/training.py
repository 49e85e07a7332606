"""Training of an attempt on one rank, in record or in research mode: what a process of its own and a Ray worker share."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from recur import native
from recur.data.dataset import Dataset, load_dataset
from recur.data.opened import OpenedFiles
from recur.pipeline.observer import AttemptObserver
from recur.recipe import fingerprint
from recur.record.attempt import seed_folder
from recur.seedspec import SeedSpec
from recur.train.checkpoint import Trained, save_trained
from recur.train.ranks import Ranks
from recur.train.resume.run import ResumableTrainer
from recur.train.resume.storage import Storage, open_storage
from recur.train.resume.store import CheckpointStore
from recur.train.run import train_seed

_SHORT = 16
"""Letters of an identity that name a folder."""
CHECKPOINTS = "checkpoints"
"""Folder of a seed's checkpoints in research mode, beside its attempts: a later attempt goes on from an earlier one's."""


def train_attempt(spec: SeedSpec, *, ranks: Ranks, device: torch.device) -> OpenedFiles:
    """Train and calibrate on this rank; rank 0 leaves the trained weights in the attempt's folder.

    In research mode training goes on from the newest whole checkpoint of the seed, whichever attempt has left it.

    Returns:
        What this rank has opened of the validation files.
    """
    native.enable()
    dataset = load_dataset(spec.dataset_root)
    with ExitStack() as held:
        observer = held.enter_context(AttemptObserver(spec.attempt_dir)) if ranks.is_main else None
        opened = held.enter_context(OpenedFiles(dataset.val_paths()))
        trained = _trained(spec, dataset, ranks, device, observer, opened)
        if observer is not None:
            save_trained(spec.attempt_dir.folder, trained)
            observer.event("saved", {"steps": trained.summary.steps})
    return opened


def checkpoint_store(spec: SeedSpec, dataset: Dataset, world: int) -> CheckpointStore:
    """Where the checkpoints of a seed lie: a folder for each recipe, data and source, so that no two runs share one."""
    identity = _identity(spec, dataset)
    return CheckpointStore(
        storage=_place(spec).below(identity[:_SHORT]), identity=identity, world=world, keep=spec.recipe.train.checkpoints_kept
    )


def discard_checkpoints(spec: SeedSpec) -> None:
    """Remove the checkpoints of a seed whose training has ended: in the sweep's own folder all, elsewhere only its own.

    Raises:
        StorageError: one cannot be removed.
    """
    place = _place(spec)
    if spec.checkpoints:
        place.delete(_identity(spec, load_dataset(spec.dataset_root))[:_SHORT])
        return
    for name in place.names():
        place.delete(name)


def _identity(spec: SeedSpec, dataset: Dataset) -> str:
    """Of recipe, data, source and seed."""
    return f"{fingerprint(spec.recipe, dataset.sha256)}-{spec.seed}"


def _place(spec: SeedSpec) -> Storage:
    """The storage that the seed's spec names, else the sweep's own folder."""
    if spec.checkpoints:
        return open_storage(spec.checkpoints).below(f"{spec.sweep}/seed_{spec.seed}")
    return open_storage(seed_folder(spec.sweep_root, spec.seed) / CHECKPOINTS)


def _trained(
    spec: SeedSpec, dataset: Dataset, ranks: Ranks, device: torch.device, observer: AttemptObserver | None, opened: OpenedFiles
) -> Trained:
    read = opened.read_validation
    if spec.recipe.mode == "record":
        return train_seed(spec.recipe, spec.seed, dataset, ranks=ranks, device=device, observer=observer, read_validation=read)
    trainer = ResumableTrainer(
        spec.recipe,
        spec.seed,
        dataset,
        ranks=ranks,
        device=device,
        observer=observer,
        read_validation=read,
        store=checkpoint_store(spec, dataset, ranks.world),
    )
    return trainer.run()
