"""Log lines as ``event key=value``, each with the id of its request; the middleware that gives requests their id.

The outermost middleware: it names the request, adds the security headers to whatever is answered, writes one line for it
and counts it. Neither headers nor queries nor bodies are logged, so no key is.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import as_refused, problem_response
from api.security.headers import SECURITY_HEADERS

if TYPE_CHECKING:
    from api.metrics import Metrics

_log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_GIVEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
_request: ContextVar[str] = ContextVar("request", default="")


def configure_logs(level: str) -> None:
    """Let everything log to stderr in this form; called by the entry only."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class KeyValueFormatter(logging.Formatter):
    """``2026-11-24T15:00:00Z INFO api.logs request method=GET ... request_id=...``; one line a record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, a traceback folded into it."""
        text = super().format(record).replace("\r", "\\r").replace("\n", "\\n")
        request = _request.get()
        return f"{text} request_id={request}" if request else text


def pairs(**values: object) -> str:
    """``a=1 b="two words"``: values that could be mistaken for more are quoted as JSON, None is left out."""
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in values.items() if value is not None)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class RequestMiddleware:
    """Names, times, counts and logs every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with an id, and write its line when it has ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        mark = _request.set(request_id)
        began = time.perf_counter()
        status, started = 500, False

        async def named(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, named)
        except Exception as error:
            if started:
                raise
            _log.exception("unexpected_error %s", pairs(path=scope["path"][:200], error=type(error).__name__))
            await problem_response(as_refused(error), scope)(scope, receive, named)
        finally:
            self._ended(scope, status, time.perf_counter() - began)
            _request.reset(mark)

    def _ended(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        template = getattr(route, "path", "other") if route is not None else "other"
        self._metrics.request(scope["method"], template, status, seconds)
        identity = scope["state"].get("identity")
        named = scope.get("path_params") or {}
        line = pairs(
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            ms=f"{1000 * seconds:.1f}",
            owner=getattr(identity, "owner", None),
            sweep=named.get("sweep_id"),
            seed=named.get("seed"),
        )
        _log.info("request %s", line)
