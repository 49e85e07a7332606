"""Bearer keys for operators: made, listed and revoked on the machine itself, never through the interface."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from api.settings import Settings
from api.store import Store, check_there, keys, open_store
from api.store.keys import NewKey
from api.store.rows import KeyRow, Scope
from recur.errors import InputError

_LONGEST = 80


def bootstrap(settings: Settings, name: str, scope: Scope) -> NewKey:
    """Make a key; its secret is in the answer and nowhere else.

    Raises:
        InputError: the name is empty, too long or not printable.
        StoreUnavailable: the database is away.
    """
    if not (0 < len(name) <= _LONGEST and name.isprintable()):
        raise InputError(f"--name {name[:90]!r}", f"must be 1 to {_LONGEST} printable characters", "name who uses the key")
    settings.make_folder()
    with _opened(settings) as store, store.write() as c:
        return keys.create(c, name, scope, now=time.time())


def all_keys(settings: Settings) -> tuple[KeyRow, ...]:
    """Every key, revoked ones too.

    Raises:
        InputError: there is no database.
    """
    check_there(settings.database)
    with _opened(settings) as store, store.read() as c:
        return keys.all(c)


def revoke(settings: Settings, key_id: str) -> None:
    """End a key at once.

    Raises:
        InputError: there is no such key, or it was revoked before; or there is no database.
    """
    check_there(settings.database)
    with _opened(settings) as store, store.write() as c:
        if not keys.revoke(c, key_id, time.time()):
            raise InputError(f"key {key_id!r}", "is not a valid key's id", "see `python -m api key list`")


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.database)
    try:
        yield store
    finally:
        store.close()
