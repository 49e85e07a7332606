"""Random sequences of everything the service does agree with the model, on both databases (P2 to P10)."""

from __future__ import annotations

import pytest

from api.store import Store
from tests.api.store.machine import run
from tests.api.volume import volume

QUICK = 20, 35  # sequences, steps; test_planted.py shows that they are enough to find a fault


def test_random_sequences_agree_with_the_model(sqlite_store: Store) -> None:
    run(sqlite_store, *QUICK)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_few_random_sequences_agree_with_the_model_on_postgres(store: Store) -> None:
    run(store, 3, 20)


@pytest.mark.service
def test_many_random_sequences_agree_with_the_model(sqlite_store: Store) -> None:
    run(sqlite_store, volume(60, 2000, gate=20), 50)


@pytest.mark.service
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_many_random_sequences_agree_with_the_model_on_postgres(store: Store) -> None:
    run(store, volume(30, 500, gate=10), 50)
