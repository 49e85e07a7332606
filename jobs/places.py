"""Where everything is that `recur up` has started, and how it says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from api.settings import Settings
from cluster.head import HeadPlan


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
