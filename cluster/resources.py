"""What a seed needs, what the cluster has, and what follows: slots, the profile `auto` means, or one clear line.

Pure functions over a list of nodes; only `alive_nodes` asks Ray. Ray itself would wait for ever for a placement that no
node can hold (RAY.md 1), so it is refused here first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recur.config import ClusterConfig, Recipe
from recur.errors import PlacementError
from recur.recipe import load_recipe
from recur.train.world import at_world

RECORD_GPUS = 8
"""GPUs of one node in the record's placement."""
AUTO_WORLDS = (8, 4, 2, 1)
"""World sizes that divide the record's eight micro-batches."""
RECORD_PROFILE, CPU_PROFILE = "recur", "smoke_recur"
NOT_A_RECORD = "not a record placement"
MAX_CPUS_PER_WORKER = 4


@dataclass(frozen=True, kw_only=True)
class Node:
    """One alive node: its total CPUs and GPUs."""

    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What ``--profile auto`` means on these nodes.

    Attributes:
        profile: name of the profile.
        overrides: ``a.b=v`` that fit it to the nodes.
        why: one line for the user.
        note: what is odd about the placement; "" for nothing.
    """

    profile: str
    overrides: tuple[str, ...]
    why: str
    note: str = ""


def alive_nodes() -> list[Node]:
    """The nodes of the cluster that this process has joined."""
    import ray

    return [
        Node(
            name=str(node["NodeManagerHostname"]),
            cpus=float(node["Resources"].get("CPU", 0.0)),
            gpus=float(node["Resources"].get("GPU", 0.0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def choose_profile(nodes: Sequence[Node]) -> Choice:
    """The profile for these nodes: our record recipe where a node has GPUs, else its small form for CPUs."""
    best = _best(nodes)
    world = _world(best)
    if world == 0:
        return Choice(profile=CPU_PROFILE, overrides=(), why=f"no node has a GPU (largest: {best.cpus:g} CPUs)")
    overrides = fitted(load_recipe(RECORD_PROFILE), nodes)
    has = f"node {best.name} has {best.gpus:g} GPUs"
    if world == RECORD_GPUS:
        return Choice(profile=RECORD_PROFILE, overrides=overrides, why=has)
    why = f"{has}: world size {world}, {RECORD_GPUS // world} micro-batches a rank, {NOT_A_RECORD}"
    return Choice(profile=RECORD_PROFILE, overrides=overrides, why=why, note=NOT_A_RECORD)


def fitted(recipe: Recipe, nodes: Sequence[Node]) -> tuple[str, ...]:
    """``a.b=v`` that fit a recipe for GPUs to the node with most of them; none where it needs no GPU or there is none."""
    best = _best(nodes)
    world = _world(best)
    if world == 0 or recipe.cluster.gpus_per_worker == 0:
        return ()
    cpus = max(1, min(MAX_CPUS_PER_WORKER, int(best.cpus) // world))
    return (*with_world(recipe, world), f"cluster.cpus_per_worker={cpus}")


def with_world(recipe: Recipe, world: int) -> tuple[str, ...]:
    """``a.b=v`` that give a recipe another world size and keep the total of calibration, which is counted for each rank."""
    size, quantize = f"cluster.workers={world}", at_world(recipe, world).quantize
    if world == recipe.cluster.workers or quantize.hessian_ranks != "all":
        return (size,)
    counts = {"calibration_batches": quantize.calibration_batches, "fisher_batches": quantize.fisher_batches}
    return (size, *(f"quantize.{name}={count}" for name, count in counts.items() if count))


def _best(nodes: Sequence[Node]) -> Node:
    return max(nodes, key=lambda node: (node.gpus, node.cpus), default=Node(name="none", cpus=0, gpus=0))


def _world(node: Node) -> int:
    return next((n for n in AUTO_WORLDS if n <= node.gpus), 0)


def placement_note(recipe: Recipe) -> str:
    """What is odd about a recipe's placement: one of the record's track on other than eight GPUs."""
    gpus = recipe.cluster.workers * recipe.cluster.gpus_per_worker
    of_the_track = recipe.profile == RECORD_PROFILE or recipe.profile.startswith("record")
    return NOT_A_RECORD if of_the_track and gpus != RECORD_GPUS else ""


def seed_slots(cfg: ClusterConfig, nodes: Sequence[Node]) -> int:
    """Seeds at a time: nodes that can hold one where it needs GPUs, else the recipe's ``cpu_slots``.

    Raises:
        PlacementError: no node (or, with PACK, not all nodes together) can ever hold one seed, or none a task of its fan-out.
    """
    if cfg.placement == "STRICT_PACK":
        holding = sum(1 for node in nodes if _holds(cfg, node.cpus, node.gpus))
    else:
        cpus, gpus = sum(n.cpus for n in nodes), sum(n.gpus for n in nodes)
        holding = int(_holds(cfg, cpus, gpus))
        if holding and cfg.gpus_per_worker:
            holding = int(gpus // (cfg.workers * cfg.gpus_per_worker))
    if holding == 0:
        raise _impossible(cfg, nodes)
    if (most := max(node.cpus for node in nodes)) < cfg.fanout_cpus:
        rule = f"must fit on one node (the largest has {most:g} CPUs)"
        raise PlacementError(f"cluster.fanout_cpus={cfg.fanout_cpus}", rule, "lower it by --set cluster.fanout_cpus=N")
    return holding if cfg.gpus_per_worker else cfg.cpu_slots


def spare_cpus(cfg: ClusterConfig, nodes: Sequence[Node]) -> int:
    """CPUs beside a seed's workers on the node that has fewest of them, of those that hold a seed; 0 where none does."""
    workers = cfg.workers * cfg.cpus_per_worker
    return min((int(n.cpus) - workers for n in nodes if _holds(cfg, n.cpus, n.gpus)), default=0)


def _cpus(cfg: ClusterConfig) -> int:
    """What a seed asks for where it trains: its workers', and with ``overlap`` those of a task of another seed."""
    return cfg.workers * cfg.cpus_per_worker + (cfg.fanout_cpus if cfg.overlap else 0)


def _holds(cfg: ClusterConfig, cpus: float, gpus: float) -> bool:
    return gpus >= cfg.workers * cfg.gpus_per_worker and cpus >= _cpus(cfg)


def _impossible(cfg: ClusterConfig, nodes: Sequence[Node]) -> PlacementError:
    need_gpus, need_cpus = cfg.workers * cfg.gpus_per_worker, _cpus(cfg)
    value = f"cluster.workers={cfg.workers} ({need_gpus} GPUs and {need_cpus} CPUs a seed)"
    have = ", ".join(f"{n.name}: {n.gpus:g} GPUs, {n.cpus:g} CPUs" for n in nodes) or "none is alive"
    where = "one node" if cfg.placement == "STRICT_PACK" else "all nodes together"
    if need_gpus and max((n.gpus for n in nodes), default=0.0) == 0:
        remedy = "use --profile smoke, or join a cluster with GPUs by --address"
    elif need_gpus and any(n.gpus >= need_gpus for n in nodes):
        remedy = "lower it by --set cluster.cpus_per_worker=N"
    else:
        remedy = "lower it by --set cluster.workers=N, or join a larger cluster by --address"
    return PlacementError(value, f"must fit on {where} (there is {have})", remedy)
