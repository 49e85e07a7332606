"""What the service knows, on disk: tables, migrations, and the only functions that read or change them."""

from __future__ import annotations

from api.store.backup import backup
from api.store.errors import ForbiddenMove, RetryRefused, StoreUnavailable, UnknownSweep
from api.store.migrate import MigrationState
from api.store.store import Store, check_there, open_store

__all__ = [
    "ForbiddenMove",
    "MigrationState",
    "RetryRefused",
    "Store",
    "StoreUnavailable",
    "UnknownSweep",
    "backup",
    "check_there",
    "open_store",
]
