"""What the use cases work with: one `Context` a process, made by `api.app.create_app`, given to routes and pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from api.events import Broadcaster
from api.metrics import Metrics
from api.security.rate import RateLimiter
from api.service.cache import Cache, InProgress
from api.settings import Settings
from api.store import Store

if TYPE_CHECKING:
    from api.reconciler import Reconciler


@dataclass(kw_only=True)
class Context:
    """The service's parts.

    Attributes:
        reconciler: None where this process runs none.
        clock: seconds since 1970.
        boundary: called with the name of each point at which a test may kill the process.
        submitting: idempotency keys whose first request is being worked on.
    """

    store: Store
    settings: Settings
    clock: Callable[[], float]
    metrics: Metrics
    events: Broadcaster
    limiter: RateLimiter
    reconciler: Reconciler | None = None
    boundary: Callable[[str], None] = lambda _: None
    cache: Cache = field(default_factory=Cache)
    submitting: InProgress = field(default_factory=InProgress)

    @property
    def out(self) -> Path:
        """Folder of the sweeps."""
        return self.settings.folder

    def folder(self, sweep: str) -> Path:
        """Folder of a sweep that the store knows."""
        return self.out / sweep

    def nudge(self) -> None:
        """Something has changed: the reconciler looks soon, and the watching clients' feeds too."""
        if self.reconciler is not None:
            self.reconciler.nudge()
        self.events.nudge()


def context_of(request: Request) -> Context:
    """The context of the application that answers ``request``."""
    found: Context = request.app.state.context
    return found
