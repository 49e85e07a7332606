"""When the last seed of a sweep has ended: sweep.json, plots and the record folder, made by the helper from the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from api.reconciler.desk import Desk, Round
from api.reconciler.ending import outcome
from api.reconciler.errand import Errand, Tries
from api.reconciler.helper import OUTCOME_FILE, REPORT_FILE, Done, Helper
from api.store import attempts, sweeps
from api.store.rows import SweepRow
from cluster.look import check_plain
from recur.errors import ArtifactError
from recur.record.atomic import read_json, write_json_atomic

_log = logging.getLogger(__name__)
_LARGEST_REPORT_BYTES = 1 << 16
_LOOKED_AT = 20


@dataclass(kw_only=True)
class Reporting:
    """Writes the report of every sweep that has ended, once."""

    desk: Desk
    helper: Helper
    errand: Errand = field(default_factory=Errand)
    tries: Tries = field(default_factory=Tries)

    def attend(self, round_: Round) -> None:
        """Take in what the helper has done, or give it the next sweep."""
        with round_.guard("report"):
            done = self.errand.finished(self.desk.clock(), self.desk.settings.report_timeout_s)
            if done is not None:
                self._take(self.errand.row, done)
                self.errand.clear()
            if not self.errand.busy:
                with self.desk.store.read() as c:
                    waiting = sweeps.unreported(c, _LOOKED_AT)
                row = next((one for one in waiting if self.tries.may(one.sweep, self.desk.clock())), None)
                if row is not None:
                    self._start(row)

    def _start(self, row: SweepRow) -> None:
        with self.desk.store.read() as c:
            ended = attempts.current(c, row.sweep)
        folder = self.desk.out / row.sweep
        (folder / REPORT_FILE).unlink(missing_ok=True)
        write_json_atomic(folder / OUTCOME_FILE, {"seeds": [outcome(one) for one in ended]})
        self.errand.begin(row, self.helper.report(row), self.desk.clock())

    def _take(self, row: SweepRow, done: Done) -> None:
        path, warning = self.desk.out / row.sweep / REPORT_FILE, None
        try:
            told = _report(path) if done.code == 0 else {}
        except ArtifactError as error:
            told, warning = {}, str(error)
        if done.code != 0:
            warning = f"its report could not be written (exit code {done.code}): {done.line}"
        if warning is not None and not self.tries.failed(row.sweep, self.desk.clock()):
            _log.warning("report_failed sweep=%s warning=%s", row.sweep, warning)
            return
        record, said = told.get("record_path"), warning or told.get("warning")
        with self.desk.store.write() as c:
            sweeps.reported(c, row, record_path=record, warning=said, now=self.desk.clock())
        self.tries.forget(row.sweep)


def _report(path: Any) -> dict[str, str | None]:
    """What jobs/report.py tells.

    Raises:
        ArtifactError: the file is missing or of another form.
    """
    check_plain(path, _LARGEST_REPORT_BYTES)
    try:
        told: Any = read_json(path)
        return {name: None if told[name] is None else str(told[name])[:1000] for name in ("record_path", "warning")}
    except (FileNotFoundError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(str(path), f"is not a report ({error!r})", "retry the sweep") from error
