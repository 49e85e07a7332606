"""Training of one seed as a Ray Train V2 TorchTrainer: the trainer, its worker, and what of its failures a user sees.

Inside the timed window there is no Ray call: `ray.train.report` is a barrier that the controller drains every two seconds,
so it is never used; progress goes to files (RAY.md 1). Train and calibrate are one unit: a lost worker voids the
attempt, nothing is retried inside it. Ray runs the train function in a thread of its own and has initialised the process
group when it starts. With faked GPUs `ray.train.torch.get_device()` names a device that is not there, so the device is
chosen by local rank and by what torch sees.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.job_client import job_id
from recur.data.dataset import load_dataset
from recur.data.opened import OpenedFiles
from recur.errors import InputError, RecurError
from recur.pipeline import AttemptObserver
from recur.pipeline.backend import device_name
from recur.record.attempt import AttemptDir
from recur.seedspec import SPEC_FILE, SeedSpec, load_spec
from recur.train.checkpoint import Trained, save_trained
from recur.train.ranks import Ranks
from recur.train.run import train_seed

GROUP_STARTS = 3
"""How often Ray may try again to place the workers (60 s each); the preflight has checked that they fit."""


def train_on_ray(spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
    """Train and calibrate; rank 0 leaves the checkpoint in the attempt's folder.

    Returns:
        Placement: world size, backend, and per rank its host and device.

    Raises:
        InputError: raised by a worker (damaged shard, full disk): the lowest rank's.
        RecurError: a worker failed otherwise, or the workers could not be placed.
    """
    cfg = spec.recipe.cluster
    name = job_id(spec.sweep, spec.seed, spec.attempt)
    resources = {"CPU": float(cfg.cpus_per_worker)}
    if cfg.gpus_per_worker:
        resources["GPU"] = float(cfg.gpus_per_worker)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"spec": str(attempt.path(SPEC_FILE)), "seed": spec.seed, "profile": spec.recipe.profile},
        torch_config=TorchConfig(backend=cfg.backend, timeout_s=int(cfg.worker_timeout_s)),
        scaling_config=ScalingConfig(
            num_workers=cfg.workers,
            use_gpu=cfg.gpus_per_worker > 0,
            resources_per_worker=resources,
            placement_strategy=cfg.placement,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(attempt.path("train")),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=GROUP_STARTS),
        ),
    )
    try:
        placement: dict[str, object] = trainer.fit().return_value
    except ray.train.TrainingFailedError as error:
        raise plain_failure(error) from error
    return placement


def train_worker(config: dict[str, Any]) -> dict[str, object]:
    """One rank: train, and on rank 0 save. Returns the placement (the same on every rank)."""
    spec = load_spec(Path(config["spec"]))
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    device = _device(context.get_local_rank())
    dataset = load_dataset(spec.dataset_root)
    with ExitStack() as held:
        observer = held.enter_context(AttemptObserver(spec.attempt_dir)) if ranks.is_main else None
        opened = held.enter_context(OpenedFiles(dataset.val_paths()))
        trained: Trained = train_seed(
            spec.recipe,
            spec.seed,
            dataset,
            ranks=ranks,
            device=device,
            observer=observer,
            read_validation=opened.read_validation,
        )
        if observer is not None:
            save_trained(spec.attempt_dir.folder, trained)
            observer.event("saved", {"steps": trained.summary.steps})
    return _placement(ranks, device, spec.recipe.cluster.backend, opened)


def plain_failure(error: Exception) -> RecurError:
    """What a failed `fit()` comes down to: the lowest failing rank's own error, else the controller's first line."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    if failures:
        rank = min(failures)
        cause = failures[rank]
        if isinstance(cause, InputError):
            return cause
        return RecurError(f"training failed on rank {rank}: {type(cause).__name__}: {_first_line(cause)}")
    cause = getattr(error, "controller_failure", error)
    return RecurError(f"training could not run: {type(cause).__name__}: {_first_line(cause)}")


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def _placement(ranks: Ranks, device: torch.device, backend: str, opened: OpenedFiles) -> dict[str, object]:
    mine = {"host": socket.gethostname(), "device": device_name(device), "val_opens": opened.fields}
    gathered: list[Any] = [mine]
    if ranks.world > 1:
        gathered = [None] * ranks.world
        dist.all_gather_object(gathered, mine)
    node_id = ray.get_runtime_context().get_node_id()
    return {"world_size": ranks.world, "backend": backend, "ranks": gathered, "node_id": node_id}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
