"""One task of the helper at a time, its deadline, and how often a sweep's task is tried."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.reconciler.helper import Done, Task
from api.store.rows import SweepRow

MOST_TRIES = 3
PAUSE_S = 30.0
"""Between two tries; a full disk or an unreachable mirror may be well by then."""
_KILLED = -9


@dataclass(kw_only=True)
class Errand:
    """What the helper does now."""

    _row: SweepRow | None = None
    _task: Task | None = None
    _since: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._task is not None

    @property
    def ended(self) -> bool:
        """Whether the task has ended and nobody has taken that in yet."""
        return self._task is not None and self._task.poll() is not None

    @property
    def row(self) -> SweepRow:
        """Whose task it is."""
        if self._row is None:
            raise RuntimeError("no errand has begun")
        return self._row

    @property
    def name(self) -> str | None:
        """Whose task it is; None where there is none."""
        return self._row.sweep if self._row else None

    def begin(self, row: SweepRow, task: Task, now: float) -> None:
        """Keep a task that was started."""
        self._row, self._task, self._since = row, task, now

    def finished(self, now: float, timeout_s: float) -> Done | None:
        """How the task ended, past its deadline by force; None while it runs or where there is none."""
        if self._task is None:
            return None
        done = self._task.poll()
        if done is None and now - self._since > timeout_s:
            self._task.kill()
            return Done(code=_KILLED, line=f"it took longer than {timeout_s:g} s")
        return done

    def clear(self) -> None:
        """Nothing is being done any more."""
        self._row = self._task = None

    def kill(self) -> None:
        """End what is being done."""
        if self._task is not None:
            self._task.kill()
        self.clear()


@dataclass(kw_only=True)
class Tries:
    """Failed tries by sweep, and when the next one may be."""

    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)

    def may(self, sweep: str, now: float) -> bool:
        """Whether the pause since the last failure is over."""
        return sweep not in self._failed or now >= self._failed[sweep][1]

    def failed(self, sweep: str, now: float) -> bool:
        """Count a failure; whether it was the last one that is allowed."""
        count = self._failed.get(sweep, (0, 0.0))[0] + 1
        self._failed[sweep] = (count, now + PAUSE_S)
        return count >= MOST_TRIES

    def forget(self, sweep: str) -> None:
        """The sweep starts anew."""
        self._failed.pop(sweep, None)
