"""Bodies: how large, how slow, how deep. What comes through is whole and, below /v1, strict JSON.

The body is read here, under a limit (with or without Content-Length) and a deadline, and checked before any parser builds
objects from it: encoding, nesting, numbers that JSON does not have, a key given twice.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Refused, problem_response
from api.settings import Settings

_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Strings (also one that does not end, so that the search never goes back: it is linear) and brackets."""

_CLOSE = {"Connection": "close"}
_LARGEST_INT = 2**63


class BodyMiddleware:
    """Reads and checks the body of a changing request, then hands it on."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer 400, 408, 413 or 415."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
            if body is None:
                return
            if scope["path"].startswith("/v1"):
                check_json_type(Headers(scope=scope), body)
                await run_in_threadpool(check_json, body, self._settings.max_json_depth)
        except Refused as refused:
            await problem_response(refused, scope)(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None when the client has gone."""
        limit = self._settings.max_body_bytes
        announced = headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdecimal()):
            raise Refused(400, "bad_content_length", "Content-Length is not a number", headers=_CLOSE)
        if len(announced) > 18 or int(announced) > limit:
            raise _too_large(limit)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.body_deadline_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > limit:
                        raise _too_large(limit)
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            detail = f"the body did not arrive within {self._settings.body_deadline_s:g} s"
            raise Refused(408, "body_too_slow", detail, "send it again", headers=_CLOSE) from None


def check_json_type(headers: Headers, body: bytes) -> None:
    """Refuse a body that does not call itself plain JSON.

    Raises:
        Refused: 415.
    """
    if not body:
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "not_json", "the body must be application/json", "send Content-Type: application/json")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "compressed_body", "compressed bodies are not accepted", "send the body as it is")


def check_json(body: bytes, max_depth: int) -> None:
    """Refuse what is not strict JSON, before its objects reach anybody.

    Raises:
        Refused: 400 with the reason.
    """
    if not body:
        return
    depth = 0
    for token in _TOKENS.finditer(body):
        mark = token.group()
        depth += 1 if mark in (b"[", b"{") else -1 if mark in (b"]", b"}") else 0
        if depth > max_depth:
            raise _malformed(f"nested deeper than {max_depth}")
    try:
        text = body.decode("utf-8")
        json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int)
    except UnicodeDecodeError as error:
        raise _malformed("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from error


def _malformed(reason: str) -> Refused:
    return Refused(400, "malformed_json", f"the body is not valid JSON: {reason[:200]}", "send one JSON document, UTF-8")


def _too_large(limit: int) -> Refused:
    return Refused(413, "body_too_large", f"the body is larger than {limit:,} bytes", "send less", headers=_CLOSE)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} is given twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= _LARGEST_INT:
        raise ValueError("a whole number is too large (64 bits are the most)")
    return int(text)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once, then whatever the server says (a disconnect)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
