"""What every part of the reconciler works with: store, job system, folders, clock, and what is remembered of open attempts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from api.reconciler.values import Observer, ReconcilerSettings
from api.store import Store, StoreUnavailable, attempts, sweeps
from api.store.rows import AttemptRow, SweepRow
from cluster.deadline import TimedJobs
from cluster.job_client import JobsUnreachable, JobUnreadable
from cluster.look import Sight
from cluster.outcome import RESULT_FILE
from recur.config import Recipe
from recur.errors import RecurError
from recur.recipe import recipe_from_json
from recur.record.attempt import AttemptDir
from recur.seedspec import SeedSpec

_log = logging.getLogger(__name__)
_KEPT_SWEEPS = 256
_LATE_S = 600.0
"""So long after an end without numbers a late result is looked for."""


@dataclass(kw_only=True)
class Watch:
    """What is remembered of an open attempt. It may be lost with the process: then everything is only seen later.

    Attributes:
        refused_since: its submission has been refused since then.
        beat_at: stamp of the last heartbeat that was stored.
        said_at, said_phase: last event "progress".
        logged_at: when its log was last fetched.
    """

    sight: Sight = field(default_factory=Sight)
    refused_since: float | None = None
    beat_at: object = None
    said_at: float = float("-inf")
    said_phase: str | None = None
    logged_at: float = float("-inf")


class Round:
    """One round's troubles. The first call that finds the job system away ends its calls for this round."""

    def __init__(self) -> None:
        self.unreachable: str | None = None
        self.errors: list[str] = []

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Keep what goes wrong with ``what`` from the rest of the round; a store that is away ends the round."""
        try:
            yield
        except StoreUnavailable:
            raise
        except JobUnreadable as error:
            self._note(f"{what}: {error}")
        except JobsUnreachable as error:
            self.unreachable = _one_line(error)
            _log.warning("jobs_unreachable what=%s error=%s", what, self.unreachable)
        except (RecurError, OSError) as error:
            self._note(f"{what}: {error}")
        except Exception as error:  # noqa: BLE001 - a bug that one attempt meets must not stop the others; it is told
            _log.exception("reconcile_bug what=%s", what)
            self._note(f"{what}: {type(error).__name__}: {error}")

    def _note(self, line: str) -> None:
        self.errors.append(" ".join(line.split())[:500])
        _log.warning("reconcile_trouble %s", self.errors[-1])


@dataclass(kw_only=True)
class Desk:
    """The parts' common tools.

    Attributes:
        out: folder of the sweeps.
        boundary: called with the name of each point at which a test may kill the process.
        ended: attempts that ended without a result a short time ago, by job id.
    """

    store: Store
    jobs: TimedJobs
    out: Path
    settings: ReconcilerSettings
    clock: Callable[[], float]
    boundary: Callable[[str], None]
    observer: Observer
    watches: dict[str, Watch] = field(default_factory=dict)
    ended: dict[str, AttemptRow] = field(default_factory=dict)
    _sweeps: dict[str, SweepRow] = field(default_factory=dict)
    _recipes: dict[tuple[str, float | None], Recipe] = field(default_factory=dict)

    def watch(self, row: AttemptRow) -> Watch:
        """What is remembered of an attempt."""
        return self.watches.setdefault(row.job_id, Watch())

    def tell_late_results(self) -> None:
        """A result that appears after the end of its attempt does not count (P4); the attempt gets a warning."""
        for name, row in list(self.ended.items()):
            late = self.folder(row).path(RESULT_FILE).exists()
            if late:
                text = f"a result was written after it had ended {row.state}; it does not count"
                with self.store.write() as c:
                    attempts.warn(c, row, text, now=self.clock())
            if late or self.clock() - (row.ended_at or 0.0) > _LATE_S:
                del self.ended[name]

    def folder(self, row: AttemptRow) -> AttemptDir:
        """An attempt's folder."""
        return AttemptDir(self.out / row.sweep, row.seed, row.attempt, self.clock)

    def sweep(self, name: str) -> SweepRow:
        """A prepared sweep; what is read of it here (recipe, data) does not change any more."""
        if name not in self._sweeps:
            with self.store.read() as c:
                found = sweeps.get(c, name)
            if found is None or found.prepared_at is None:
                raise RecurError(f"sweep {name} is admitted, but not prepared")
            if len(self._sweeps) >= _KEPT_SWEEPS:
                self._sweeps.clear()
            self._sweeps[name] = found
        return self._sweeps[name]

    def recipe(self, sweep: SweepRow) -> Recipe:
        """A sweep's recipe.

        Raises:
            RecipeError: it is none of this version's.
        """
        key = (sweep.sweep, sweep.prepared_at)
        if key not in self._recipes:
            if len(self._recipes) >= _KEPT_SWEEPS:
                self._recipes.clear()
            self._recipes[key] = recipe_from_json(json.dumps(dict(sweep.recipe)))
        return self._recipes[key]

    def spec(self, row: AttemptRow) -> SeedSpec:
        """What an attempt's job is told.

        Raises:
            RecipeError: its recipe is none of this version's.
        """
        sweep = self.sweep(row.sweep)
        return SeedSpec(
            sweep=row.sweep,
            seed=row.seed,
            attempt=row.attempt,
            recipe=self.recipe(sweep),
            dataset_root=Path(str(sweep.dataset_root)),
            out=self.out,
            note=sweep.note,
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
