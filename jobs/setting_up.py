"""What `recur up` decides before it starts anything: settings, a first key, the service's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from api.settings import Settings, load_settings
from api.store import keys, open_store
from api.store.rows import Scope
from cluster.head import HeadPlan, free_ports

_HIDDEN = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Ray lets them override the address that a client is given."""


def settings_of(config: Path | None, *, port: int | None, out: Path | None, dashboard: str | None) -> Settings:
    """The settings of the file and the environment, with the options over both; port 0 becomes a free one.

    Raises:
        InputError: a setting is refused.
    """
    given = {"PORT": port, "OUT": out and out.expanduser().resolve(), "RAY_DASHBOARD": dashboard}
    os.environ.update({f"RECUR_API_{name}": str(value) for name, value in given.items() if value is not None})
    settings = load_settings(config)
    return settings if settings.port else settings.model_copy(update={"port": free_ports(1)[0]})


def first_key(settings: Settings) -> str | None:
    """An admin's key for a database that has no valid one; None otherwise."""
    settings.make_folder()
    store = open_store(settings.database)
    try:
        with store.write() as c:
            return None if keys.count(c) else keys.create(c, "first", Scope.ADMIN, now=time.time()).secret
    finally:
        store.close()


def service_environment(settings: Settings, plan: HeadPlan | None) -> Mapping[str, str]:
    """Environment of the service: this process's, the port, and which Ray to use and with what token."""
    kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    own = {
        "RECUR_API_PORT": str(settings.port),
        "RECUR_API_OUT": str(settings.folder),
        "RECUR_API_RAY_DASHBOARD": settings.ray_dashboard,
    }
    return {**kept, **own, **(plan.authentication.variables if plan else {})}
