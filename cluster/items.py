"""Items of one seed on a cluster that is joined for the purpose: what a job script uses outside a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ray

from cluster import session as ray_session
from cluster.fanout import RayBackend
from recur.config import ClusterConfig


@contextmanager
def ray_items(cfg: ClusterConfig, root: Path, address: str | None) -> Iterator[RayBackend]:
    """A backend on the cluster at ``address``, or on a local one that ends with the block.

    Args:
        cfg: of the recipe; on a cluster without GPUs its items run on CPUs.
        root: the repository.
        address: ``host:port`` of a running head, or None.

    Raises:
        InputError: no cluster answers there.
    """
    session = ray_session.join(root, address)
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        yield RayBackend(
            replace(cfg, gpus_per_worker=min(cfg.gpus_per_worker, gpus), workers=min(cfg.workers, gpus) or cfg.workers)
        )
    finally:
        ray_session.leave(session)
