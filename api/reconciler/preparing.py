"""Data and spec of the sweeps that are next, made ready by the helper one at a time; what cannot be fails with its line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.reconciler.desk import Desk, Round
from api.reconciler.errand import Errand, Tries
from api.reconciler.helper import Done, Helper
from api.reconciler.slots import Slots
from api.store import attempts, sweeps
from api.store.rows import Pool, SweepRow
from cluster.look import check_plain
from cluster.outcome import REQUEST_FILE
from recur.errors import ArtifactError
from recur.recipe import source_sha256
from recur.record.atomic import read_json, write_json_atomic
from recur.record.result import State
from recur.seedspec import SWEEP_SPEC_FILE, program_of

_log = logging.getLogger(__name__)
_BAD_INPUT = 2
_LARGEST_SPEC_BYTES = 8 << 20
_MOST_SEEDS = 100
_LOOKED_AT = 20
"""Sweeps at the head of the queue of which the first that can be placed is prepared."""


@dataclass(kw_only=True)
class Preparing:
    """Keeps the head of the queue prepared."""

    desk: Desk
    helper: Helper
    slots: Slots
    errand: Errand = field(default_factory=Errand)
    tries: Tries = field(default_factory=Tries)
    _renewed: bool = False

    def attend(self, round_: Round) -> None:
        """Take in what the helper has done, or give it the next sweep."""
        with round_.guard("prepare"):
            self._renewed = self._renewed or self._renew()
            if self.errand.busy and not self._wanted(self.errand.row):
                self.errand.kill()
            done = self.errand.finished(self.desk.clock(), self.desk.settings.prepare_timeout_s)
            if done is not None:
                self._take(self.errand.row, done)
                self.errand.clear()
            if not self.errand.busy and round_.unreachable is None:
                row = self._next()
                if row is not None:
                    self._start(row)

    def _renew(self) -> bool:
        """What an earlier program has prepared and nobody has begun is prepared again: its seeds could not run with this one.

        Returns:
            Whether nothing had changed meanwhile; else it is done again in the next round.
        """
        ours = source_sha256()
        with self.desk.store.read() as c:
            rows = sweeps.unbegun(c)
        old = [row for row in rows if _program_of(self.desk.out / row.sweep / SWEEP_SPEC_FILE) not in (None, ours)]
        with self.desk.store.write() as c:
            again = [sweeps.prepare_again(c, row) for row in old]
        if old:
            _log.info("prepared_again sweeps=%d of=%d program=%s", sum(again), len(old), ours[:12])
        return all(again)

    def _wanted(self, row: SweepRow) -> bool:
        """Whether any seed of a sweep still waits."""
        with self.desk.store.read() as c:
            return any(attempt.state is State.QUEUED for attempt in attempts.current(c, row.sweep))

    def _start(self, row: SweepRow) -> None:
        request = {"sweep": row.sweep, "seeds": list(row.seeds), "recipe": dict(row.recipe)}
        write_json_atomic(self.desk.out / row.sweep / REQUEST_FILE, request)
        self.errand.begin(row, self.helper.prepare(row), self.desk.clock())
        _log.info("preparing sweep=%s", row.sweep)

    def _next(self) -> SweepRow | None:
        with self.desk.store.read() as c:
            waiting = sweeps.unprepared(c, _LOOKED_AT)
            ready = {pool: self._ready(c, pool) for pool in Pool} if waiting else {}
            first = {row.sweep: attempts.current(c, row.sweep)[0].rank for row in waiting}
        for row in waiting:
            before = ready[row.pool]
            is_near = len(before) < self.desk.settings.prepare_ahead or first[row.sweep] < min(before.values())
            if is_near and self.tries.may(row.sweep, self.desk.clock()) and self.slots.places(row):
                return row
        return None

    def _ready(self, c: Any, pool: Pool) -> Mapping[str, float]:
        """Prepared sweeps that wait, with their place."""
        rows = attempts.queued(c, pool, _MOST_SEEDS * self.desk.settings.prepare_ahead, prepared_only=True)
        return {row.sweep: row.rank for row in rows}

    def _take(self, row: SweepRow, done: Done) -> None:
        if done.code == 0:
            try:
                self._prepared(row)
            except ArtifactError as error:
                self._fail(row, str(error))
        elif done.code == _BAD_INPUT:
            self._fail(row, done.line)
        elif self.tries.failed(row.sweep, self.desk.clock()):
            self._fail(row, f"its data could not be prepared (exit code {done.code}): {done.line}")
        else:
            _log.warning("prepare_failed sweep=%s code=%d line=%s", row.sweep, done.code, done.line)

    def _prepared(self, row: SweepRow) -> None:
        """Take in ``sweep_spec.json``.

        Raises:
            ArtifactError: it is not the spec of this sweep.
        """
        path = self.desk.out / row.sweep / SWEEP_SPEC_FILE
        check_plain(path, _LARGEST_SPEC_BYTES)
        try:
            spec: Any = read_json(path)
            same = (spec["sweep"], list(spec["seeds"])) == (row.sweep, list(row.seeds))
            known = {name: str(spec[name]) for name in ("fingerprint", "dataset_root", "note")}
            recipe = dict(spec["recipe"])
        except (FileNotFoundError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(str(path), f"is not a sweep's spec ({error!r})", "retry the sweep") from error
        if not same:
            raise ArtifactError(str(path), f"is of another sweep than {row.sweep}", "retry the sweep")
        with self.desk.store.write() as c:
            sweeps.prepared(c, row.sweep, **known, recipe=recipe, now=self.desk.clock())
        self.tries.forget(row.sweep)

    def _fail(self, row: SweepRow, reason: str) -> None:
        now = self.desk.clock()
        with self.desk.store.write() as c:
            for attempt in attempts.current(c, row.sweep):
                if attempt.state is State.QUEUED:
                    attempts.move(c, attempt, State.FAILED, now=now, reason=reason[:1000] or "its data could not be prepared")
        self.tries.forget(row.sweep)
        _log.warning("unpreparable sweep=%s reason=%s", row.sweep, reason)


def _program_of(path: Path) -> str | None:
    """As `program_of`; a file that is none tells nothing."""
    try:
        check_plain(path, _LARGEST_SPEC_BYTES)
        return program_of(path)
    except (ArtifactError, OSError, RecursionError):
        return None
