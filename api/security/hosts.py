"""Which names a request may be addressed to, and which sites may send changes.

A page of another site can make a browser send requests here (also to 127.0.0.1, by pointing its own name there: DNS
rebinding). Such a request carries that site's name as Host or Origin, and is refused before anything reads it. An address
written in digits cannot be rebound, so it is accepted where the service listens on all addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Refused, problem_response
from api.settings import Settings, is_loopback

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class HostMiddleware:
    """Refuses requests to other names and changes from other sites."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._names = {settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        if is_loopback(settings.host):
            self._names.update(_LOOPBACK)
        self._everywhere = settings.host in ("0.0.0.0", "::", "")
        if self._everywhere:
            self._names.update((*_LOOPBACK, socket.gethostname().lower()))
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 (host) or 403 (origin)."""
        refused = self._refusal(scope) if scope["type"] == "http" else None
        if refused is not None:
            await problem_response(refused, scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refused | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        name = _name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not (name in self._names or (self._everywhere and _is_address(name))):
            return Refused(
                400, "host_refused", "the request's Host is not a name of this service", "see the setting allowed_hosts"
            )
        if scope["method"] not in SAFE_METHODS and not self._same_site(headers, hosts[0]):
            return Refused(403, "origin_refused", "changes from another site are refused", "see the setting allowed_origins")
        return None

    def _same_site(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return origin.lower() in self._origins or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _name(host: str) -> str | None:
    """The name in a Host header, without its port and brackets; None if it is not one."""
    if any(mark in host for mark in "/@?#\\, \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port is None or parts.hostname else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
