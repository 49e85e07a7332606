"""Independent pieces of one seed on the cluster: plain tasks on CPUs, a pool of actors on GPUs.

Results come back by index, whatever order they finish in. A task that dies with its worker or node is run again; it
must therefore be a function of its item. Each large array travels once, inside the one item that needs it. A task that
asks for a GPU would be a new process each time (Ray's `max_calls=1`), so GPU work goes to long-lived actors, which keep
the model they have loaded (RAY.md 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.train_seed import train_on_ray
from recur.config import ClusterConfig
from recur.errors import RecurError
from recur.pipeline.backend import Progress
from recur.record.attempt import AttemptDir
from recur.seedspec import SeedSpec

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
WAIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A result and the item it belongs to."""

    index: int
    value: Any


class RayBackend:
    """`recur.pipeline.Backend` on the cluster that this process has joined."""

    def __init__(self, cfg: ClusterConfig) -> None:
        self._cfg = cfg
        self._node_id: str | None = None
        self._actors: list[Any] = []

    def train(self, spec: SeedSpec, attempt: AttemptDir) -> dict[str, object]:
        """See `Backend.train`."""
        placement = train_on_ray(spec, attempt)
        self._node_id = str(placement.pop("node_id"))
        return placement

    def map(
        self,
        fn: Callable[[T], R],
        items: Sequence[T],
        *,
        names: Sequence[str],
        progress: Progress,
        on_device: bool = False,
    ) -> list[R]:
        """See `Backend.map`.

        Raises:
            InputError, RecurError: the first error of an item; the other items are cancelled.
        """
        start = self._on_actors if on_device and self._cfg.gpus_per_worker else self._as_tasks
        return collect(start(fn, items, names), names, progress)

    def _as_tasks(self, fn: Callable[[T], R], items: Sequence[T], names: Sequence[str]) -> list[Any]:
        task, cpus = ray.remote(_call), self._cfg.fanout_cpus
        return [
            task.options(name=name, num_cpus=cpus, max_retries=RETRIES, retry_exceptions=[OSError]).remote(fn, i, item)
            for i, (name, item) in enumerate(zip(names, items, strict=True))
        ]

    def _on_actors(self, fn: Callable[[T], R], items: Sequence[T], names: Sequence[str]) -> list[Any]:
        """Calls spread over at most one actor a GPU; an actor runs its calls one after the other."""
        while len(self._actors) < min(self._cfg.workers, len(items)):
            self._actors.append(self._new_actor())
        return [
            self._actors[i % len(self._actors)].call.options(name=name).remote(fn, i, item)
            for i, (name, item) in enumerate(zip(names, items, strict=True))
        ]

    def _new_actor(self) -> Any:
        """An actor with the GPUs of one worker, on the node that trained if there is room."""
        where = NodeAffinitySchedulingStrategy(self._node_id, soft=True) if self._node_id else "DEFAULT"
        actor = ray.remote(_Worker).options(
            num_gpus=self._cfg.gpus_per_worker,
            num_cpus=1,
            max_restarts=1,
            max_task_retries=RETRIES,
            scheduling_strategy=where,
        )
        return actor.remote()


def collect(refs: Sequence[Any], names: Sequence[str], progress: Progress) -> list[Any]:
    """The values of ``refs`` by the index each carries.

    Args:
        refs: references to `Indexed`.
        names: of the items, for the error.
        progress: told how many are done.

    Raises:
        InputError, RecurError: the first error; what still runs is cancelled.
    """
    values: dict[int, Any] = {}
    pending = list(refs)
    order = {ref: i for i, ref in enumerate(refs)}
    while pending:
        ready, pending = ray.wait(pending, num_returns=1, timeout=WAIT_S)
        for ref in ready:
            try:
                found: Indexed = ray.get(ref)
            except ray.exceptions.RayError as error:
                for other in pending:
                    ray.cancel(other)
                raise _plain(error, names[order[ref]]) from error
            values[found.index] = found.value
            progress(len(values))
    return [values[i] for i in range(len(refs))]


class _Worker:
    """Holds a GPU; what it has loaded stays loaded."""

    def call(self, fn: Callable[[T], R], index: int, item: T) -> Indexed:
        return _call(fn, index, item)


def _call(fn: Callable[[T], R], index: int, item: T) -> Indexed:
    return Indexed(index=index, value=fn(item))


def _plain(error: Exception, name: str) -> RecurError:
    """Our own error as it was raised in the task; anything else named by its task, one line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RecurError):
        return cause
    told = cause if isinstance(cause, BaseException) else error
    line = (str(told).strip().splitlines() or [""])[0][:300]
    return RecurError(f"{name} failed: {type(told).__name__}: {line}")
