"""What the tests of the pages build on: an application with the pages and every scene, and a real server around it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.__main__ import Server
from api.app import create_app
from api.service import Context
from tests.api.kit import settings
from tests.api.pages.scenes import Stage

NOON = 1_795_525_200.0
"""When the scenes' clock stands: 2026-11-24 13:00 UTC."""


@dataclass(kw_only=True)
class Site:
    """A real server: its address, its application, and the stage behind it."""

    url: str
    app: FastAPI

    @property
    def ctx(self) -> Context:
        """The service's parts."""
        found: Context = self.app.state.context
        return found

    def stage(self) -> Stage:
        """Where to play, at the service's time."""
        return Stage(ctx=self.ctx, now=self.ctx.clock())


@contextmanager
def served(folder: Path, *, options: dict[str, Any] | None = None, **changes: Any) -> Iterator[Site]:
    """A server on a free port of 127.0.0.1 for as long as the block runs.

    Args:
        folder: of its sweeps and store.
        options: further arguments of `create_app`.
        changes: settings.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = create_app(settings(folder, **changes), **(options or {}))
        server = Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        try:
            yield Site(url=f"http://127.0.0.1:{port}", app=app)
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive(), "the server did not stop"
