"""A local HTTP server that serves a dataset repository the way the Hub's resolve endpoint does.

HEAD and GET of `/datasets/<owner>/<name>/resolve/<revision>/<path>` with ETag (sha256), X-Repo-Commit, Content-Length and Range.
Faults are asked for by path: a body cut off after so many bytes, an error status, or another size than the one HEAD named.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/[^/]+/(.+)")


@dataclass
class Hub:
    """The repository's files, the faults asked for, and the requests seen.

    Attributes:
        cuts: path -> body lengths after which the connection breaks, one per GET, consumed in order.
        refusals: path -> number of GETs to answer with status 500 once `cuts` is used up.
        sizes: path -> size that HEAD claims instead of the true one.
        requests: (method, path, Range header) in order.
    """

    repo_id: str
    files: dict[str, bytes]
    url: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def gets(self, path: str) -> list[str | None]:
        """The Range headers of the GETs of one path."""
        return [r for method, p, r in self.requests if method == "GET" and p == path]


class Handler(BaseHTTPRequestHandler):
    """Answers from `server.hub`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        body = self._find()
        if body is not None:
            self._start(200, body, len(body))

    def do_GET(self) -> None:
        body = self._find()
        if body is None:
            return
        path = self._path()
        if not self.hub.cuts.get(path) and self.hub.refusals.get(path, 0) > 0:
            self.hub.refusals[path] -= 1
            self._fail(500)
            return
        first = int(m[1]) if (m := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        self._start(206 if first else 200, body, len(body) - first, first=first)
        limit = self.hub.cuts[path].pop(0) if self.hub.cuts.get(path) else None
        self.wfile.write(body[first:] if limit is None else body[first : first + limit])
        if limit is not None:
            self.wfile.flush()
            self.close_connection = True

    def _path(self) -> str:
        match = RESOLVE.fullmatch(unquote(self.path))
        return match[2] if match and match[1] == self.hub.repo_id else ""

    def _find(self) -> bytes | None:
        path = self._path()
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if path not in self.hub.files:
            self._fail(404, {"X-Error-Code": "EntryNotFound" if path else "RepoNotFound"})
            return None
        return self.hub.files[path]

    def _start(self, status: int, body: bytes, length: int, *, first: int = 0) -> None:
        size = self.hub.sizes.get(self._path(), length) if self.command == "HEAD" else length
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _fail(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output quiet."""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve on a free local port while the block runs; `hub.url` is the endpoint."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
