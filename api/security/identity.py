"""Who asks, and whether their key may: the dependency of every route.

A bearer key or the page's cookie, compared as SHA-256 in constant time by the store. A key that is given but not valid is
refused also where none is required. Without keys on a loopback address everybody is the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from api.problems import Refused
from api.security.session import SESSION_COOKIE
from api.store import keys
from api.store.rows import Scope

if TYPE_CHECKING:
    from api.service.context import Context

LOCAL = "local"
"""Owner of what is done without a key."""
_MAX_KEY = 200
_ORDER = tuple(Scope)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="recur"'}

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key made by `python -m api key create`.")
_cookie = APIKeyCookie(name=SESSION_COOKIE, auto_error=False, scheme_name="session", description="The page's cookie.")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who asks: ``owner`` is the key's id, or "local" without keys."""

    owner: str
    scope: Scope
    name: str = LOCAL

    def may(self, scope: Scope) -> bool:
        """Whether this identity's scope includes ``scope``."""
        return _ORDER.index(self.scope) >= _ORDER.index(scope)


@cache
def require(scope: Scope) -> Callable[..., Identity]:
    """The dependency that lets only identities with ``scope`` through; it also counts the request against its rate."""

    def identity(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        session: Annotated[str | None, Security(_cookie)],
    ) -> Identity:
        ctx: Context = request.app.state.context
        address = request.client.host if request.client else "unknown"
        given = request.headers.get("authorization")
        secret = session if given is None else bearer.credentials if bearer else ""
        found = authenticate(ctx, secret, address)
        request.state.identity = found
        if not found.may(scope):
            detail = f"this needs a key with scope {scope}; this one has {found.scope}"
            raise Refused(403, "scope_too_small", detail, "ask the operator for another key")
        return found

    return identity


def authenticate(ctx: Context, secret: str | None, address: str) -> Identity:
    """The identity behind a key.

    Args:
        ctx: the service.
        secret: the key as it was given; None where none was.
        address: of the client, whose failures are counted.

    Raises:
        Refused: 401 without a valid key where one is needed or given, 429 when too much was asked.
    """
    if secret is None:
        ctx.limiter.take(f"address {address}")
        if ctx.settings.keys_required:
            raise Refused(401, "key_required", "a key is required", "send Authorization: Bearer KEY", headers=_CHALLENGE)
        return Identity(owner=LOCAL, scope=Scope.ADMIN)
    row = None
    if secret and len(secret) <= _MAX_KEY and secret.isascii():
        with ctx.store.read() as c:
            row = keys.find(c, secret)
    if row is None or row.revoked_at is not None:
        ctx.limiter.take(f"address {address}")
        raise Refused(
            401, "key_unknown", "this key is not known or was revoked", "ask the operator for a key", headers=_CHALLENGE
        )
    ctx.limiter.take(f"key {row.key_id}")
    return Identity(owner=row.key_id, scope=row.scope, name=row.name)
