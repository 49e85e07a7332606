"""These tests kill processes of Ray clusters for half an hour: they run only when their folder is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Left out of a run that does not name the folder."""
    return None if any("faults" in str(argument) for argument in config.args) else True
