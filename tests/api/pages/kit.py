"""What the tests of the pages build on: every scene behind a client in this process, or behind a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.__main__ import Server
from api.app import create_app
from api.service import Context
from tests.api.kit import Running, running, settings
from tests.api.pages.scenes import everything
from tests.api.pages.stage import Stage, cluster_seen

NOON = 1_795_525_200.0
"""When the scenes' clock stands: 2026-11-24 13:00 UTC."""
BLOCKS = {"dd", "div", "dt", "h1", "h2", "h3", "li", "option", "p", "section", "td", "text", "th", "title", "tr"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass(kw_only=True)
class Shown:
    """Every scene: the application in this process, and the sweeps' ids by their short names."""

    running: Running
    ids: dict[str, str]

    @property
    def client(self) -> TestClient:
        """Asks in this process."""
        return self.running.client

    def page(self, path: str, status: int = 200, **headers: str) -> Page:
        """A page, parsed; its tags must be balanced."""
        answer = self.client.get(path, headers={"Accept": "text/html", **headers}, follow_redirects=False)
        assert answer.status_code == status, answer.text[:2000]
        return read(answer.text)


@contextmanager
def shown(folder: Path) -> Iterator[Shown]:
    """Every scene below ``folder`` for as long as the block runs."""
    with running(folder, app_options={"clock": lambda: NOON}) as found:
        cluster_seen(found.ctx)
        yield Shown(running=found, ids=everything(Stage(ctx=found.ctx, now=NOON)))


class Page(HTMLParser):
    """A page's elements and text; a tag that is not closed, or closed twice, fails."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._apart(tag)
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()
        self._apart(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def _apart(self, tag: str) -> None:
        """Words of different blocks do not run into each other."""
        if tag in BLOCKS:
            self.text += " "

    def close(self) -> None:
        super().close()
        assert not self._open, f"left open: {self._open}"
        self.text = " ".join(self.text.split())

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Attributes of the elements with this tag and these attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]


def read(html: str) -> Page:
    """The page, checked for balanced tags."""
    page = Page()
    page.feed(html)
    page.close()
    return page


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
