"""Work that is too heavy for the service's process (it loads torch and scipy): a script of jobs/ as a subprocess, one at a time.

The command lines are fixed; what the scripts are to do stands in a file of the sweep's folder. They are idempotent: one
that was killed is started again. On Linux none outlives the thread that started it, even one ended by kill -9.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from api.store.rows import SweepRow
from cluster.outcome import REQUEST_FILE
from cluster.processes import end_with_parent

_log = logging.getLogger(__name__)
OUTCOME_FILE, REPORT_FILE = "outcome.json", "report.json"
_LARGEST_TAIL_BYTES = 1 << 16
_STOP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a task ended: its exit code (negative: the signal) and the last line it wrote to stderr."""

    code: int
    line: str


class Task(Protocol):
    """Something that the helper does."""

    def poll(self) -> Done | None:
        """How it ended; None while it runs."""

    def kill(self) -> None:
        """End it now."""


class Helper(Protocol):
    """Who prepares and reports sweeps; starting returns at once."""

    def prepare(self, row: SweepRow) -> Task:
        """Make ``sweep_spec.json`` from ``request.json``."""

    def report(self, row: SweepRow) -> Task:
        """Make ``report.json`` and what belongs to it from ``outcome.json``."""


class SubprocessHelper:
    """The scripts jobs/prepare.py and jobs/report.py.

    Args:
        root: the repository, their working directory.
        out: folder of the sweeps.
    """

    def __init__(self, root: Path, out: Path) -> None:
        self._root, self._out = root, out

    def prepare(self, row: SweepRow) -> Task:
        """Start jobs/prepare.py; its stderr is kept in the sweep's prepare.log."""
        folder = self._out / row.sweep
        return self._start(["jobs/prepare.py", "--request", str(folder / REQUEST_FILE)], folder / "prepare.log")

    def report(self, row: SweepRow) -> Task:
        """Start jobs/report.py; its stderr is kept in the sweep's report.log."""
        folder = self._out / row.sweep
        return self._start(["jobs/report.py", str(folder)], folder / "report.log")

    def _start(self, words: list[str], log: Path) -> Task:
        with log.open("wb") as f:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=f,
                stderr=f,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        return _Process(process, lambda: _last_line(log))


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], line: Callable[[], str]) -> None:
        self._process, self._line = process, line

    def poll(self) -> Done | None:
        code = self._process.poll()
        return None if code is None else Done(code=code, line=self._line())

    def kill(self) -> None:
        """SIGTERM to its group, then SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                _log.info("helper_outlived signal=%d pid=%d", number, self._process.pid)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - _LARGEST_TAIL_BYTES))
            lines = [line.strip() for line in f.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    return lines[-1][:500] if lines else ""
