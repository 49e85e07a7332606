"""Independent pieces of one seed on the cluster: plain tasks on CPUs, a pool of actors on GPUs.

Results come back by index, whatever order they finish in. A task that dies with its worker or node is run again; it
must therefore be a function of its item. Each large array travels once, inside the one item that needs it. A task that
asks for a GPU would be a new process each time (Ray's `max_calls=1`), so GPU work goes to long-lived actors, which keep
the model they have loaded (RAY.md 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from cluster.losses import loss_of
from cluster.resources import alive_nodes, spare_cpus
from cluster.train_seed import train_on_ray
from recur import native
from recur.config import ClusterConfig
from recur.errors import RecurError
from recur.pipeline.backend import Progress
from recur.record.attempt import AttemptDir
from recur.seedspec import SeedSpec

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
WAIT_S = 30.0
_LOST = (ray.exceptions.ActorUnavailableError, ray.exceptions.ActorDiedError)


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
        self._gpus: PlacementGroup | None = None

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
            InputError, WorkerLost, RecurError: the first error of an item; the other items are cancelled.
        """
        if on_device and self._cfg.gpus_per_worker:
            pool = self._pool(len(items))
            return collect(lambda i: pool.start(fn, i, items[i], names[i]), names, progress, again=pool.again)
        return collect(self._as_tasks(fn, items, names), names, progress, at_once=self._at_once())

    def _as_tasks(self, fn: Callable[[T], R], items: Sequence[T], names: Sequence[str]) -> Callable[[int], Any]:
        task = ray.remote(_call)
        options = {
            "num_cpus": self._cfg.fanout_cpus,
            "max_retries": RETRIES,
            "retry_exceptions": [OSError],
            "scheduling_strategy": self._near() if self._cfg.overlap else "DEFAULT",
        }
        return lambda i: task.options(name=names[i], **options).remote(fn, i, items[i])

    def _at_once(self) -> int | None:
        """With ``overlap`` no more tasks than fit beside the workers of another seed, which would wait for theirs to end."""
        if not self._cfg.overlap:
            return None
        return max(1, spare_cpus(self._cfg, alive_nodes()) // self._cfg.fanout_cpus)

    def _near(self) -> Any:
        """On the node that trained, where its files are warm and its share of the cores is counted."""
        return NodeAffinitySchedulingStrategy(self._node_id, soft=True) if self._node_id else "DEFAULT"

    def _pool(self, items: int) -> ActorPool:
        """At most one actor a GPU, and no more than there are items; those of the last map are kept."""
        if self._cfg.overlap and self._gpus is None:
            self._gpus = placement_group([{"GPU": self._cfg.gpus_per_worker}] * self._cfg.workers)
        while len(self._actors) < min(self._cfg.workers, items):
            self._actors.append(self._new_actor())
        return ActorPool(self._actors, self._new_actor)

    def _new_actor(self) -> Any:
        """An actor with the GPUs of one worker, on the node that trained if there is room.

        With ``overlap`` in a group of all the seed's GPUs, which it gets at once or not at all: two seeds that each hold some
        and wait for more would wait for ever.
        """
        actor = ray.remote(_Worker).options(
            num_gpus=self._cfg.gpus_per_worker,
            num_cpus=0,  # it keeps its GPUs while tasks of its seed run, and the workers may have had every core there is
            max_restarts=1,
            max_task_retries=RETRIES,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._gpus) if self._gpus else self._near(),
        )
        return actor.remote()


class ActorPool:
    """Calls spread over actors, each of which runs its own one after the other.

    Args:
        actors: one at least; a lost one is replaced in this list.
        new: makes another one.
    """

    def __init__(self, actors: list[Any], new: Callable[[], Any]) -> None:
        self._actors, self._new = actors, new
        self._calls: dict[int, tuple[Any, tuple[Any, ...]]] = {}

    def start(self, fn: Callable[[T], R], index: int, item: T, name: str) -> Any:
        """Start an item; the reference to its `Indexed`."""
        actor = self._actors[index % len(self._actors)]
        self._calls[index] = (actor, (fn, index, item, name))
        return actor.call.options(name=name).remote(fn, index, item)

    def again(self, index: int) -> Any:
        """Start an item anew whose actor cannot be reached; the first to find that out has the actor replaced."""
        actor, call = self._calls[index]
        if actor in self._actors:
            ray.kill(actor)
            self._actors[self._actors.index(actor)] = self._new()
        return self.start(*call)


def collect(
    start: Callable[[int], Any],
    names: Sequence[str],
    progress: Progress,
    *,
    at_once: int | None = None,
    again: Callable[[int], Any] | None = None,
) -> list[Any]:
    """Start the items in order, and return their values in that order, whichever is ready first.

    Args:
        start: starts an item by its index; a reference to its `Indexed`.
        names: of the items, for the error.
        progress: told how many are done.
        at_once: how many may be started and not done; None for all.
        again: starts an item anew whose actor is gone or cannot be reached, at most `RETRIES` times an item. Ray's own retries
            are used up before it knows that the actor's node is gone.

    Raises:
        InputError, WorkerLost, RecurError: the first error; what still runs is cancelled.
    """
    values: dict[int, Any] = {}
    index_of: dict[Any, int] = {}
    waiting, retries = deque(range(len(names))), [0] * len(names)
    while waiting or index_of:
        while waiting and (at_once is None or len(index_of) < at_once):
            index = waiting.popleft()
            index_of[start(index)] = index
        ready, _ = ray.wait(list(index_of), num_returns=1, timeout=WAIT_S)
        for ref in ready:
            index = index_of.pop(ref)
            try:
                found: Indexed = ray.get(ref)
            except ray.exceptions.RayError as error:
                if again is not None and isinstance(error, _LOST) and retries[index] < RETRIES:
                    retries[index] += 1
                    index_of[again(index)] = index
                    continue
                for other in index_of:
                    ray.cancel(other)
                raise _plain(error, names[index]) from error
            values[found.index] = found.value
            progress(len(values))
    return [values[i] for i in range(len(names))]


class _Worker:
    """Holds a GPU; what it has loaded stays loaded."""

    def call(self, fn: Callable[[T], R], index: int, item: T) -> Indexed:
        return _call(fn, index, item)


def _call(fn: Callable[[T], R], index: int, item: T) -> Indexed:
    native.enable()
    return Indexed(index=index, value=fn(item))


def _plain(error: Exception, name: str) -> RecurError:
    """Our own error as it was raised in the task, a loss as one; anything else named by its task, one line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RecurError):
        return cause
    told = cause if isinstance(cause, BaseException) else error
    if lost := loss_of(told, name):
        return lost
    line = (str(told).strip().splitlines() or [""])[0][:300]
    return RecurError(f"{name} failed: {type(told).__name__}: {line}")
