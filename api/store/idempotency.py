"""Idempotency keys: which sweep a repeated submission already made (P2).

Look up, create and keep in one writing transaction; then two submissions with one key cannot both create. A key is kept as long
as the database: "one sweep, ever".
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from api.store.tables import idempotency


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was submitted with a key: SHA-256 of the body, and the sweep it made."""

    body_sha256: str
    sweep: str


def lookup(c: Connection, owner: str, key: str) -> Kept | None:
    """What ``owner`` submitted with ``key`` before."""
    of = (idempotency.c.owner == owner, idempotency.c.key == key)
    row = c.execute(select(idempotency.c.body_sha256, idempotency.c.sweep).where(*of)).one_or_none()
    return None if row is None else Kept(body_sha256=row.body_sha256, sweep=row.sweep)


def keep(c: Connection, owner: str, key: str, body_sha256: str, sweep: str, *, now: float) -> None:
    """Remember a submission.

    Raises:
        sqlalchemy.exc.IntegrityError: the owner used the key before.
    """
    c.execute(insert(idempotency).values(owner=owner, key=key, body_sha256=body_sha256, sweep=sweep, kept_at=now))
