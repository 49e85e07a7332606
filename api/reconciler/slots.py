"""How many seeds may run at a time: what is configured, else what the recipe at the head of the queue finds on the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.reconciler.desk import Desk, Round
from api.reconciler.values import SlotCount
from api.store.rows import Pool, SweepRow
from cluster.job_client import JobsUnreachable
from cluster.resources import Node, seed_slots
from recur.errors import PlacementError, RecipeError


@dataclass(kw_only=True)
class Slots:
    """Counts the nodes every few seconds, which also tells whether the job system is there, and slots for a recipe.

    Attributes:
        nodes: alive at the last count; None while the cluster is away.
    """

    desk: Desk
    nodes: tuple[Node, ...] | None = None
    _counted_at: float = field(default=float("-inf"))

    def count_nodes(self, round_: Round) -> None:
        """Ask the cluster, at most every few seconds."""
        now = self.desk.clock()
        if self.nodes is not None and now - self._counted_at < self.desk.settings.nodes_every_s:
            return
        self._counted_at, self.nodes = now, None
        with round_.guard("nodes"):
            try:
                self.nodes = tuple(self.desk.jobs.nodes())
            except JobsUnreachable:
                self.desk.observer.call_failed("nodes")
                raise

    def of(self, pool: Pool, head: SweepRow | None) -> SlotCount:
        """Slots of a pool for the sweep at the head of its queue.

        Args:
            pool: which.
            head: None where nothing waits.
        """
        configured = self.desk.settings.gpu_slots if pool is Pool.GPU else self.desk.settings.cpu_slots
        if self.nodes is None:
            return SlotCount(slots=None, source="cluster", why="the cluster does not answer")
        if configured is not None:
            return SlotCount(slots=configured, source="configured", why=None if configured else "no slots are configured")
        if head is None:
            return SlotCount(slots=None, source="asked when a sweep waits")
        try:
            cfg = self.desk.recipe(head).cluster
            return SlotCount(slots=seed_slots(cfg, self.nodes), source=_SOURCE[pool])
        except PlacementError as error:
            return SlotCount(slots=0, source=_SOURCE[pool], why=str(error))
        except RecipeError as error:
            return SlotCount(slots=1, source="recipe that is none", why=str(error))

    def places(self, sweep: SweepRow) -> bool:
        """Whether a sweep could run now; a recipe that is none may go on, to fail with its reason."""
        return self.of(sweep.pool, sweep).slots != 0


_SOURCE: Mapping[Pool, str] = {
    Pool.GPU: "nodes that hold a seed",
    Pool.CPU: "the recipe's cluster.cpu_slots",
}
