"""The events of a sweep, each once and in order, over as many connections as that takes (Last-Event-ID)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from api.client.errors import ServiceAway
from api.client.http import Client, Patience

RECONNECT = Patience(total_s=60.0, first_s=0.2, longest_s=5.0)


@dataclass(frozen=True, kw_only=True)
class SweepEvent:
    """One event: its number within the sweep (1, 2, 3 ...), its kind and what it says."""

    number: int
    kind: str
    data: Mapping[str, Any]


def events(
    client: Client,
    sweep: str,
    *,
    after: int = 0,
    patience: Patience = RECONNECT,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[SweepEvent]:
    """Yield the events that follow number ``after``, until the service says that nothing more will come.

    Raises:
        RequestRefused: the sweep is unknown, or the key does not suffice.
        ServiceAway: no connection for ``patience.total_s``.
    """
    failures, failed_at = 0, 0.0
    while True:
        error: Exception | None = None
        try:
            with client.stream(sweep, after) as stream:
                if stream is None:
                    return
                for message in stream:
                    event = _event(message)
                    if event is not None and event.number > after:
                        after, failures = event.number, 0
                        yield event
        except (httpx2.TransportError, httpx2.StreamError, httpx2.SSEError) as broken:
            error = broken
        except ServiceAway as away:
            if away.status not in (None, 503):
                raise
            error = away
        failures += 1
        failed_at = clock() if failures == 1 else failed_at
        pause_s = patience.pause_s(failures)
        if error is not None and clock() - failed_at + pause_s > patience.total_s:
            raise ServiceAway(f"the service at {client.url} no longer answers: {error}") from error
        sleep(pause_s)


def _event(message: httpx2.ServerSentEvent) -> SweepEvent | None:
    """None for anything but a whole numbered event: a comment, or one that was cut off with its connection."""
    if not (message.id.isascii() and message.id.isdecimal()):
        return None
    try:
        data = json.loads(message.data)
    except ValueError:
        return None
    return SweepEvent(number=int(message.id), kind=message.event, data=data) if isinstance(data, dict) else None
