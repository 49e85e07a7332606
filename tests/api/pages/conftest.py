"""The site that the rendering tests read: every scene, the clock standing still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.pages.kit import Shown, shown


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Every scene behind a client; tests that use it change nothing."""
    with shown(tmp_path_factory.mktemp("site")) as found:
        yield found
