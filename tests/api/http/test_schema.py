"""The interface against its own description: schemathesis makes requests from it, valid and not, and checks every answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.store import keys
from api.store.rows import Scope
from tests.api.http.test_events import store_of
from tests.api.kit import served, submission
from tests.api.volume import measured, volume

pytestmark = pytest.mark.service

PLAN: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
MORE_RULES = ("POST /v1/sweeps", "POST /v1/sweeps/{sweep_id}/retry", "GET /v1/sweeps", "GET /v1/sweeps/{sweep_id}/events")
"""Operations with rules that no schema can say (of recipes, seeds of a sweep, cursors, numbers of events)."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running service, what is asked of it, and a sweep that has ended."""

    schema: Any
    headers: dict[str, str]
    sweep: str


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    with served(folder, require_keys=True) as service, store_of(folder) as store:
        with store.write() as c:
            secret = keys.create(c, "schemathesis", Scope.ADMIN, now=1.0).secret
        headers = {"Authorization": f"Bearer {secret}"}
        sweep = httpx2.post(f"{service.url}/v1/sweeps", json=submission(seeds=[1]), headers=headers).json()["id"]
        httpx2.post(f"{service.url}/v1/sweeps/{sweep}/cancel", headers=headers)
        yield Target(
            schema=schemathesis.openapi.from_url(f"{service.url}/v1/openapi.json", headers=headers), headers=headers, sweep=sweep
        )


def test_every_answer_is_as_described_and_none_is_a_failure(tmp_path: Path) -> None:
    total = volume(100, 5000, gate=19)
    asked: dict[str, int] = {}
    with target(tmp_path) as found:
        operations = [result.ok() for result in found.schema.get_all_operations()]
        each = -(-total // len(operations))
        for operation in operations:
            asked[operation.label] = _ask(found, operation, each)
    measured("schemathesis", {"cases": sum(asked.values()), "by_operation": asked})
    assert sum(asked.values()) >= total
    assert len(asked) == 19


def _ask(found: Target, operation: Any, count: int) -> int:
    """At least ``count`` requests; a turn may end early, the next one draws others."""
    asked, turn = 0, 0
    while asked < count:
        asked += _turn(found, operation, count - asked, turn)
        turn += 1
    return asked


def _turn(found: Target, operation: Any, count: int, number: int) -> int:
    """Requests, half of them meant to be wrong; real and random names by turns. Any broken promise raises."""
    asked = 0
    cases = strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @seed(number)
    @settings(**PLAN, max_examples=count)
    @given(case=cases, real=strategies.booleans())
    def ask(case: Any, real: bool) -> None:
        nonlocal asked
        asked += 1
        if "sweep_id" in (case.path_parameters or {}) and real and case.meta.generation.mode is GenerationMode.POSITIVE:
            case.path_parameters["sweep_id"] = found.sweep
        left_out = [positive_data_acceptance] if operation.label in MORE_RULES else []
        case.call_and_validate(headers=found.headers, timeout=30, excluded_checks=left_out)

    ask()
    return asked
