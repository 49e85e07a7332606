"""What `recur up` decides before it starts anything: settings, a first key, the service's environment, what it prints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.settings import Settings, load_settings
from api.store import keys, open_store
from api.store.rows import Scope
from cluster.head import HeadPlan, free_ports

_HIDDEN = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Ray lets them override the address that a client is given."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where everything is. ``key`` is None when the service had one already."""

    settings: Settings
    plan: HeadPlan | None
    token_file: Path | None
    key: str | None

    @property
    def url(self) -> str:
        """The service, as seen from this machine."""
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host
        return f"http://[{host}]:{self.settings.port}" if ":" in host else f"http://{host}:{self.settings.port}"

    def fields(self) -> dict[str, str | None]:
        """By name."""
        return {
            "page": self.url,
            "api": f"{self.url}/v1",
            "metrics": f"{self.url}/metrics",
            "dashboard": self.settings.ray_dashboard,
            "ray_metrics": self.plan.metrics if self.plan else None,
            "ray_token_file": str(self.token_file) if self.token_file else None,
            "out": str(self.settings.folder),
            "key": self.key,
        }

    def as_json(self) -> str:
        """One line."""
        return json.dumps(self.fields())

    def as_text(self) -> str:
        """A line each, and how to go on."""
        lines = [f"{name.replace('_', ' '):<15} {value}" for name, value in self.fields().items() if value]
        if self.key:
            lines += ["", "The key is an admin's and is shown only now: export RECUR_API_KEY=<key>"]
        if self.token_file:
            lines += ["For `ray job submit` and `recur adopt`:"]
            lines += [f"  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={self.token_file}"]
        return "\n".join([*lines, "", "Ctrl-C ends the service and its Ray."])


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
    settings.folder.mkdir(parents=True, exist_ok=True)
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
