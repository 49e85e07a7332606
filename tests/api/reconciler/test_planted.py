"""The state machine is worth something: it finds each planted bug within 200 lives."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.api.reconciler.planted import PLANTED
from tests.api.reconciler.test_machine import QUICK, Life
from tests.api.volume import volume

FOUND_SOON = (
    "unknown_is_lost",
    "cancelled_seed_succeeds",
    "lost_reply_starts_another_attempt",
    "lost_reply_starts_another_job",
    "one_slot_too_many",
)
"""Those that take seconds; the others take up to a minute each."""


@pytest.mark.service
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", volume(FOUND_SOON, tuple(PLANTED), gate=FOUND_SOON[:1]))
def test_the_state_machine_finds_a_planted_bug(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[name](monkeypatch)
    found = settings(QUICK, derandomize=True, phases=(Phase.generate,), print_blob=False, report_multiple_bugs=False)
    with pytest.raises(AssertionError, match=r"P\d+"):
        run_state_machine_as_test(Life, settings=found)
