"""pytest plugin of the long suites: a suite that was interrupted goes on with the tests that have not passed yet.

``RECUR_PASSED`` names the file, ``RECUR_SOURCE`` the hash of what its tests depend on: of another source nothing counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from recur.record.atomic import read_json, write_json_atomic


def passed_tests(path: Path, source: str) -> set[str]:
    """Ids of the tests that have passed with this source."""
    found: Any = read_json(path) if path.exists() else {}
    return set(found["tests"]) if found.get("source") == source else set()


class Passed:
    """Leaves out what has passed, and keeps what passes, each test as soon as it has ended."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source
        self._tests = passed_tests(path, source)
        self._failed: set[str] = set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self._tests]
        items[:] = [item for item in items if item.nodeid not in self._tests]
        config.hook.pytest_deselected(items=done)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid
        if not report.passed:  # a skipped test has not passed either
            self._failed.add(name)
        if report.when == "teardown" and name not in self._failed:
            self._tests.add(name)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self._path, {"source": self._source, "tests": sorted(self._tests)})

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """All that was left out has passed: an empty run is no failure then."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._tests:
            session.exitstatus = pytest.ExitCode.OK


def pytest_configure(config: pytest.Config) -> None:
    """Registered by ``-p tests.passed``."""
    config.pluginmanager.register(Passed(Path(os.environ["RECUR_PASSED"]), os.environ["RECUR_SOURCE"]), "recur-passed")
