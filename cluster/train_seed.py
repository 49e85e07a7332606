"""Training of one seed as a Ray Train V2 TorchTrainer: the trainer, its worker, and what of its failures a user sees.

Inside the timed window there is no Ray call: `ray.train.report` is a barrier that the controller drains every two seconds,
so it is never used; progress goes to files (RAY.md 1). Train and calibrate are one unit. In record mode a lost worker voids
the attempt, nothing is retried inside it; in research mode the trainer is started again and goes on from the newest
checkpoint, as often as `cluster.failure` allows. Ray itself never retries: it would repeat what the user has to mend, and by
default it does so without end when a node is taken back.

Ray runs the train function in a thread of its own and has initialised the process group when it starts. With faked GPUs
`ray.train.torch.get_device()` names a device that is not there, so the device is chosen by local rank and by what torch sees.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2.api.exceptions import PreemptionError

from cluster.compile_cache import travelling_graphs
from cluster.failure import Action, Budget, Spent, decide
from cluster.job_client import job_id
from cluster.losses import loss_of, peer_lost
from cluster.outcome import cause_of
from recur.data.opened import OpenedFiles
from recur.errors import InputError, NoRoom, RecurError, WorkerLost
from recur.pipeline.backend import device_name
from recur.pipeline.training import train_attempt
from recur.record.attempt import AttemptDir
from recur.seedspec import SPEC_FILE, SeedSpec, load_spec
from recur.train.ranks import Ranks

_log = logging.getLogger(__name__)
GROUP_STARTS = 3
"""How often Ray may try again to place the workers (60 s each); the preflight has checked that they fit."""
OVERLAPPING_START_S = 1800
"""How long a try lasts with ``cluster.overlap``: another seed may be scoring on the GPUs."""


def train_on_ray(spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
    """Train and calibrate; rank 0 leaves the checkpoint in the attempt's folder.

    Returns:
        Placement: world size, backend, and per rank its host and device.

    Raises:
        InputError: raised by a worker (damaged shard, full disk): the lowest rank's.
        WorkerLost: a worker or the trainer's own process died, in research mode once more than it may.
        NoRoom: the workers could not be placed.
        RecurError: a worker failed otherwise.
    """
    restarts = spec.recipe.cluster.research_restarts if spec.recipe.mode == "research" else 0
    budget, had = Budget(lost=restarts, preempted=restarts), Spent()
    while True:
        try:
            return _fit(spec, attempt)
        except WorkerLost as error:
            cause = cause_of(error)
            decision = decide(cause, had, budget)
            if decision.action is not Action.RETRY:
                raise
            had = had.plus(cause)
            attempt.append_event("restart", {"cause": cause.value, "reason": f"{error} ({decision.reason})"})
            _log.warning("training_restarts seed=%d cause=%s error=%s", spec.seed, cause, error)


def _fit(spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
    cfg = spec.recipe.cluster
    name = job_id(spec.sweep, spec.seed, spec.attempt)
    if cfg.overlap:
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(OVERLAPPING_START_S))
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
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=GROUP_STARTS),
        ),
    )
    try:
        placement: dict[str, object] = trainer.fit().return_value
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise plain_failure(error) from error
    return placement


def train_worker(config: dict[str, Any]) -> dict[str, object]:
    """One rank: train, and on rank 0 save. Returns the placement (the same on every rank)."""
    spec = load_spec(Path(config["spec"]))
    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size())
    device = _device(context.get_local_rank())
    with travelling_graphs(spec.out, spec.recipe, device, leave=ranks.is_main):
        opened = train_attempt(spec, ranks=ranks, device=device)
    return _placement(ranks, device, spec.recipe.cluster.backend, opened)


def plain_failure(error: Exception) -> RecurError:
    """What a failed `fit()` comes down to.

    A rank's bad input before all else; then a rank that was lost, since the others only fail because of it; then the lowest
    rank's own error that is no broken connection; then the broken connections, which are a worker that died unseen; else what
    became of the trainer itself.
    """
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    causes = [cause for _, cause in sorted(failures.items())]
    if bad := next((cause for cause in causes if isinstance(cause, InputError)), None):
        return bad
    for rank, cause in sorted(failures.items()):
        if lost := loss_of(getattr(cause, "health_check_failure", cause), f"training rank {rank}"):
            return lost
    if isinstance(error, PreemptionError):
        return WorkerLost("training lost its node: it was taken back", node_gone=True)
    if own := [rank for rank in sorted(failures) if not peer_lost(failures[rank])]:
        cause = failures[own[0]]
        return RecurError(f"training failed on rank {own[0]}: {type(cause).__name__}: {_first_line(cause)}")
    if failures:
        return WorkerLost(f"training lost a rank: {_first_line(causes[0])}", node_gone=False)
    cause = getattr(error, "controller_failure", error)
    if isinstance(cause, WorkerGroupStartupTimeoutError):
        return NoRoom(f"the cluster had no room for {cause.num_workers} training workers")
    return loss_of(cause, "the trainer") or RecurError(f"training could not run: {type(cause).__name__}: {_first_line(cause)}")


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
