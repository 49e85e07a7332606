"""Bearer keys and idempotency keys."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api.store import Store, idempotency, keys
from api.store.rows import Scope
from tests.api.store.kit import put


def test_a_key_is_found_by_its_secret_and_nothing_else(store: Store) -> None:
    with store.write() as c:
        made = keys.create(c, "ann", Scope.SUBMIT, now=5.0)
        other = keys.create(c, "bob", Scope.ADMIN, now=6.0)
    assert re.fullmatch(rf"recur_{made.key_id}_[\w-]{{43}}", made.secret)
    with store.read() as c:
        found = keys.find(c, made.secret)
        assert found is not None and (found.key_id, found.name, found.scope, found.created_at) == (
            made.key_id,
            "ann",
            Scope.SUBMIT,
            5.0,
        )
        tail = made.secret.split("_", 2)[2]
        wrong = [
            made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B"),
            f"recur_{other.key_id}_{tail}",
            "",
            "recur_",
            made.key_id,
        ]
        wrong += [made.secret + "\n", made.secret.upper(), "recur_" + "0" * 16 + "_" + tail, "\x00", "\ud800", made.secret * 100]
        assert [keys.find(c, secret) for secret in wrong] == [None] * len(wrong)


def test_the_secret_is_nowhere_in_the_database(sqlite_store: Store) -> None:
    with sqlite_store.write() as c:
        secret = keys.create(c, "ann", Scope.READ, now=5.0).secret
    sqlite_store.close()
    assert sqlite_store.file is not None
    for path in sqlite_store.file.parent.iterdir():
        assert secret.split("_", 2)[2].encode() not in path.read_bytes(), path.name


def test_a_revoked_key_opens_nothing(store: Store) -> None:
    with store.write() as c:
        made = keys.create(c, "ann", Scope.READ, now=5.0)
        keys.create(c, "bob", Scope.READ, now=6.0)
        assert keys.count(c) == 2
        assert keys.revoke(c, made.key_id, 7.0)
        assert not keys.revoke(c, made.key_id, 8.0)
        assert not keys.revoke(c, "nobody", 8.0)
        assert keys.find(c, made.secret) is None
        assert keys.count(c) == 1
        assert [(k.name, k.revoked_at) for k in keys.all(c)] == [("ann", 7.0), ("bob", None)]


def test_a_repeated_submission_finds_the_sweep_it_made(store: Store) -> None:
    put(store)
    with store.write() as c:
        assert idempotency.lookup(c, "ann", "k") is None
        idempotency.keep(c, "ann", "k", "sha", "a-1", now=5.0)
    with store.read() as c:
        assert idempotency.lookup(c, "ann", "k") == idempotency.Kept(body_sha256="sha", sweep="a-1")
        assert idempotency.lookup(c, "bob", "k") is None
    with pytest.raises(IntegrityError), store.write() as c:
        idempotency.keep(c, "ann", "k", "other", "a-1", now=6.0)


def test_an_idempotency_key_points_to_a_sweep_that_exists(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as c:
        idempotency.keep(c, "ann", "k", "sha", "nobody", now=5.0)
        c.execute(text("SELECT 1"))
