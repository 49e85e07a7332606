"""Bearer keys: 256 bits of chance, of which only the SHA-256 is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from api.store.rows import KeyRow, Scope
from api.store.tables import keys

_SECRET = re.compile(r"recur_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_COLUMNS = [column for column in keys.c if column.name != "sha256"]


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key just made; ``secret`` is shown once and cannot be had again."""

    key_id: str
    secret: str


def create(c: Connection, name: str, scope: Scope, *, now: float) -> NewKey:
    """Make a key.

    Args:
        c: a writing connection.
        name: whose it is, for people.
        scope: what it may do.
        now: seconds since 1970.
    """
    key_id = secrets.token_hex(8)
    secret = f"recur_{key_id}_{secrets.token_urlsafe(32)}"
    c.execute(insert(keys).values(key_id=key_id, name=name, scope=scope, sha256=_hash(secret), created_at=now))
    return NewKey(key_id=key_id, secret=secret)


def find(c: Connection, secret: str) -> KeyRow | None:
    """The key that ``secret`` is; None for an unknown, malformed or revoked one. Hashes are compared in constant time."""
    shape = _SECRET.fullmatch(secret)
    row = c.execute(select(keys).where(keys.c.key_id == shape[1])).one_or_none() if shape else None
    same = hmac.compare_digest(_hash(secret), row.sha256 if row is not None else "0" * 64)
    return _key(row) if row is not None and same and row.revoked_at is None else None


def all(c: Connection) -> tuple[KeyRow, ...]:
    """Every key, revoked ones too, oldest first."""
    return tuple(_key(row) for row in c.execute(select(*_COLUMNS).order_by(keys.c.created_at, keys.c.key_id)))


def revoke(c: Connection, key_id: str, now: float) -> bool:
    """End a key. Returns whether it was known and still valid."""
    valid = (keys.c.key_id == key_id, keys.c.revoked_at.is_(None))
    return bool(c.execute(update(keys).where(*valid).values(revoked_at=now)).rowcount)


def count(c: Connection) -> int:
    """How many keys are valid."""
    return int(c.scalar(select(func.count()).where(keys.c.revoked_at.is_(None))) or 0)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: Row[Any]) -> KeyRow:
    return KeyRow(
        key_id=row.key_id,
        name=row.name,
        scope=Scope(row.scope),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
