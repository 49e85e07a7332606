"""The page's cookie: it holds the key itself, so signing out or revoking the key ends it; no table of sessions."""

from __future__ import annotations

from starlette.responses import Response

SESSION_COOKIE = "recur_session"


def set_session(response: Response, secret: str, *, secure: bool) -> None:
    """Let the browser send ``secret`` with every request to this site, unreadable for scripts and never across sites."""
    response.set_cookie(SESSION_COOKIE, secret, httponly=True, samesite="strict", secure=secure, path="/")


def clear_session(response: Response) -> None:
    """Let the browser forget the key."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
