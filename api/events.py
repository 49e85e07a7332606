"""One broadcaster a process: it reads each new event of a watched sweep once, however many clients watch.

A client keeps the number of the last event it was given and nothing else. What is not in the feed's short memory is read
from the store, so a slow or returning client misses nothing and costs no memory. New events are looked for every
``poll_s``, sooner when somebody nudges; other processes' events are found by that too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from anyio import to_thread
from fastapi.sse import ServerSentEvent

from api.store import Store, StoreUnavailable, attempts, events, sweeps
from api.store.rows import EventRow

_log = logging.getLogger(__name__)

_REMEMBERED = 256
_PAGE = 500
END = "end"
"""Kind of the last message, which is no event of the sweep and has no number: nothing more will come."""


@dataclass(kw_only=True)
class _Feed:
    """What is known about one watched sweep: ``recent`` are its newest messages without a gap, ending at ``newest``."""

    newest: int
    finished: bool = False
    watchers: int = 0
    joined: int = 0
    recent: deque[ServerSentEvent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def after(self, number: int) -> list[ServerSentEvent] | None:
        """The messages after ``number``; None where the memory does not reach back that far."""
        missing = self.newest - number
        return None if missing > len(self.recent) else list(self.recent)[len(self.recent) - missing :]

    def take(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            self.recent.append(message(row))
            self.newest = row.number

    def tell(self) -> None:
        """Wake everybody who waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a look into the store found: new events, and whether more can come."""

    rows: tuple[EventRow, ...]
    finished: bool


class Broadcaster:
    """Feeds of the watched sweeps; `run` must be running.

    Args:
        store: where events are.
        poll_s: longest time until an event is seen.
    """

    def __init__(self, store: Store, *, poll_s: float = 0.5) -> None:
        self._store, self._poll_s = store, poll_s
        self._feeds: dict[str, _Feed] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def run(self) -> None:
        """Look for new events until `close`."""
        self._loop = asyncio.get_running_loop()
        while not self._closed:
            with suppress(TimeoutError):  # nobody nudged: look all the same
                await asyncio.wait_for(self._wake.wait(), self._poll_s if self._feeds else None)
            self._wake.clear()
            if self._feeds and not self._closed:
                await self._look()

    def nudge(self) -> None:
        """Something may have happened; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """End all streams; from the loop's thread."""
        self._closed = True
        self._wake.set()
        for feed in self._feeds.values():
            feed.tell()

    async def follow(self, sweep: str, after: int, newest: int) -> AsyncIterator[ServerSentEvent]:
        """The messages of a sweep after event ``after``, each once and in order, until it is finished.

        ``newest`` is the number of the sweep's latest event, as just read. The stream ends early, to be continued by
        Last-Event-ID, when the service stops or the database is away.
        """
        feed = self._feeds.get(sweep)
        if feed is None or feed.finished:  # a slow reader may still hold what was finished before a retry
            feed = self._feeds[sweep] = _Feed(newest=newest)
            self._wake.set()
        feed.watchers, feed.joined = feed.watchers + 1, feed.joined + 1
        try:
            async for told in self._told(sweep, feed, after):
                yield told
        except StoreUnavailable as error:
            _log.warning("stream_ended sweep=%s error=%s", sweep, error)
        finally:
            feed.watchers -= 1
            if feed.watchers == 0 and self._feeds.get(sweep) is feed:
                del self._feeds[sweep]

    async def _told(self, sweep: str, feed: _Feed, sent: int) -> AsyncIterator[ServerSentEvent]:
        while True:
            changed, newest, finished = feed.changed, feed.newest, feed.finished
            while sent < newest:
                messages = feed.after(sent)
                if messages is None:
                    rows = await to_thread.run_sync(self._page, sweep, sent)
                    messages = [message(row) for row in rows]
                for told in messages:
                    yield told
                    sent = int(told.id or sent)
                if not messages:
                    break
            if self._closed:
                return
            if finished and sent >= newest:
                yield ServerSentEvent(event=END, data={"number": sent})
                return
            await changed.wait()

    def _page(self, sweep: str, after: int) -> tuple[EventRow, ...]:
        with self._store.read() as c:
            return events.since(c, sweep, after, _PAGE)

    async def _look(self) -> None:
        wanted = {sweep: (feed, feed.joined) for sweep, feed in self._feeds.items() if not feed.finished}
        try:
            found = await to_thread.run_sync(self._read, {sweep: feed.newest for sweep, (feed, _) in wanted.items()})
        except StoreUnavailable as error:
            _log.warning("events_unread error=%s", error)
            return
        for sweep, seen in found.items():
            feed, joined = wanted[sweep]
            if self._feeds.get(sweep) is not feed:
                continue  # a new feed took its place meanwhile: the next look is its
            feed.take(seen.rows)
            feed.finished = seen.finished and feed.joined == joined  # who came since then may know of a retry
            if seen.rows or feed.finished:
                feed.tell()
            if len(seen.rows) == _PAGE:
                self._wake.set()

    def _read(self, wanted: dict[str, int]) -> dict[str, _Seen]:
        found = {}
        with self._store.read() as c:
            for sweep, number in wanted.items():
                row = sweeps.get(c, sweep)
                if row is None:
                    continue
                new = events.since(c, sweep, number, _PAGE) if row.event_count > number else ()
                last = new[-1].number if new else number
                finished = last >= row.event_count and is_finished(
                    [a.state.terminal for a in attempts.current(c, sweep)], row.reported_at, row.prepared_at
                )
                found[sweep] = _Seen(rows=new, finished=finished)
        return found


def is_finished(ended: Sequence[bool], reported_at: float | None, prepared_at: float | None) -> bool:
    """Whether nothing more will happen by itself: all seeds ended, and the report, if there will be one, is written."""
    return all(ended) and (reported_at is not None or prepared_at is None)


def message(row: EventRow) -> ServerSentEvent:
    """The event as it is sent: its number is the id, its kind the name, everything the data."""
    at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"number": row.number, "at": at, "kind": row.kind, "seed": row.seed, "attempt": row.attempt, "data": dict(row.data)}
    return ServerSentEvent(raw_data=json.dumps(body, separators=(",", ":")), event=row.kind, id=str(row.number))
