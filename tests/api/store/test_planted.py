"""The model finds a fault that is planted into the store, at the volume at which it passes without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Connection, and_

from api.store import Store, attempts
from api.store.attempt_rows import key
from api.store.rows import AttemptRow, Pool
from api.store.tables import attempts as table
from tests.api.store.machine import run
from tests.api.store.test_model import QUICK


def anything(row: AttemptRow) -> ColumnElement[bool]:
    """Neither version nor state is compared."""
    return key(row.sweep, row.seed, row.attempt)


def state_only(row: AttemptRow) -> ColumnElement[bool]:
    """The version is not compared."""
    return and_(anything(row), table.c.state == row.state)


def one_too_many(admit: Callable[..., tuple[AttemptRow, ...]]) -> Callable[..., tuple[AttemptRow, ...]]:
    """An admission that counts one slot more than there is."""

    def admitted(c: Connection, pool: Pool, slots: int, **given: Any) -> tuple[AttemptRow, ...]:
        return admit(c, pool, slots + 1, **given)

    return admitted


@pytest.mark.parametrize("check", [anything, state_only])
def test_a_move_that_overlooks_a_change_is_found(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, check: Callable[[AttemptRow], ColumnElement[bool]]
) -> None:
    monkeypatch.setattr(attempts, "unchanged", check)
    with pytest.raises(AssertionError):
        run(sqlite_store, *QUICK)


def test_an_admission_of_one_too_many_is_found(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "admit", one_too_many(attempts.admit))
    with pytest.raises(AssertionError):
        run(sqlite_store, *QUICK)
