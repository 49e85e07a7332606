"""A sweep's events over SSE: in order, without gaps, from where a client left off, and cheap for many clients."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastapi.sse import ServerSentEvent

from api.events import Broadcaster
from api.store import Store, events, open_store, sweeps
from recur.record.result import State
from tests.api.kit import Running, Served, advance, finish, prepare, report, served, submission
from tests.api.volume import measured, volume


def parsed(text: str) -> list[dict[str, str]]:
    """The messages of a stream; comments are left out."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    fields = [dict(line.split(": ", 1) for line in block if not line.startswith(":")) for block in blocks]
    return [found for found in fields if found]


def numbers(messages: list[dict[str, str]]) -> list[int]:
    return [int(message["id"]) for message in messages if "id" in message]


def following(broadcaster: Broadcaster, sweep: str, after: int, newest: int) -> aclosing[AsyncGenerator[ServerSentEvent, None]]:
    """What a reader is told, closed when the block is left."""
    return aclosing(cast(AsyncGenerator[ServerSentEvent, None], broadcaster.follow(sweep, after, newest)))


def finished(service: Running) -> tuple[str, int]:
    """A sweep with its report, and the number of its events."""
    sweep: str = service.submit(seeds=[1, 2])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08, 2: 1.09})
    report(service.ctx, sweep)
    return sweep, service.client.get(f"/v1/sweeps/{sweep}").json()["event_count"]


def test_a_finished_sweep_s_stream_has_everything_in_order_and_ends(service: Running) -> None:
    sweep, count = finished(service)
    answer = service.client.get(f"/v1/sweeps/{sweep}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    messages = parsed(answer.text)
    assert numbers(messages) == list(range(1, count + 1))
    assert [messages[0]["event"], messages[-2]["event"], messages[-1]["event"]] == ["created", "reported", "end"]
    first = json.loads(messages[3]["data"])
    assert (first["number"], first["kind"], first["seed"], first["data"]["state"]) == (4, "state", 1, "SUBMITTED")


def test_a_client_goes_on_where_it_left_off(service: Running) -> None:
    sweep, count = finished(service)
    url = f"/v1/sweeps/{sweep}/events"
    for last in range(count):
        messages = parsed(service.client.get(url, headers={"Last-Event-ID": str(last)}).text)
        assert numbers(messages) == list(range(last + 1, count + 1))


def test_a_client_that_has_everything_is_told_not_to_come_back(service: Running) -> None:
    sweep, count = finished(service)
    answer = service.client.get(f"/v1/sweeps/{sweep}/events", headers={"Last-Event-ID": str(count)})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("last", ["999999", "-1", "x", "1.5", "9" * 30, "1 2", "٣"])
def test_a_number_that_is_no_event_is_refused(service: Running, last: str) -> None:
    sweep, _ = finished(service)
    answer = service.client.get(f"/v1/sweeps/{sweep}/events", headers=[(b"Last-Event-ID", last.encode())])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_sweep_cancelled_before_it_was_prepared_ends_without_a_report(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    service.client.post(f"/v1/sweeps/{sweep}/cancel")
    assert parsed(service.client.get(f"/v1/sweeps/{sweep}/events").text)[-1]["event"] == "end"


def test_a_reader_stuck_in_a_finished_stream_keeps_nobody_from_a_retry(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    service.client.post(f"/v1/sweeps/{sweep}/cancel")

    async def scene() -> None:
        broadcaster = Broadcaster(service.ctx.store, poll_s=0.02)
        running = asyncio.create_task(broadcaster.run())
        async with following(broadcaster, sweep, 0, 1) as stuck:
            first = await anext(stuck)
            assert first.id == "1"
            await asyncio.sleep(0.3)  # the feed is found finished while this reader sleeps
            service.client.post(f"/v1/sweeps/{sweep}/retry", json={})
            with service.ctx.store.read() as c:
                last = events.since(c, sweep, 0, 100)[-1].number
            async with following(broadcaster, sweep, last, last) as later:
                told = asyncio.create_task(anext(later))
                await asyncio.sleep(0.1)
                with service.ctx.store.write() as c:
                    events.add(c, sweep, "warning", at=1.0, data={})
                assert (await asyncio.wait_for(told, 5)).id == str(last + 1)
        broadcaster.close()
        await running

    asyncio.run(scene())


def test_two_hundred_watchers_cost_one_look_an_event(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = service.submit(seeds=[1])["id"]
    reads = 0
    read = Store.read

    def counted(self: Store) -> Any:
        nonlocal reads
        reads += 1
        return read(self)

    async def watch(broadcaster: Broadcaster) -> list[int]:
        async with following(broadcaster, sweep, 0, 1) as told:
            return [int(message.id) async for message in told if message.id]

    async def scene() -> list[list[int]]:
        broadcaster = Broadcaster(service.ctx.store, poll_s=60)
        running = asyncio.create_task(broadcaster.run())
        clients = [asyncio.create_task(watch(broadcaster)) for _ in range(200)]
        await asyncio.sleep(1.5)
        before = reads
        for number in range(5):
            with service.ctx.store.write() as c:
                events.add(c, sweep, "warning", at=1.0, data={"n": number})
            broadcaster.nudge()
            await asyncio.sleep(0.2)
        assert reads - before <= 2 * 5
        broadcaster.close()
        await running
        return await asyncio.gather(*clients)

    monkeypatch.setattr(Store, "read", counted)
    assert asyncio.run(scene()) == [[1, 2, 3, 4, 5, 6]] * 200


def test_a_slow_client_misses_nothing_and_costs_no_memory(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]

    async def scene() -> list[int]:
        broadcaster = Broadcaster(service.ctx.store, poll_s=0.02)
        running = asyncio.create_task(broadcaster.run())
        seen: list[int] = []
        async with following(broadcaster, sweep, 0, 1) as told:
            async for message in told:
                seen.append(int(message.id or 0))
                if len(seen) == 1:  # asleep while more events come than the feed remembers
                    with service.ctx.store.write() as c:
                        for number in range(1000):
                            events.add(c, sweep, "warning", at=1.0, data={"n": number})
                    await asyncio.sleep(0.3)
                if len(seen) == 1001:
                    broadcaster.close()
        await running
        return seen

    assert asyncio.run(scene()) == list(range(1, 1002))


@pytest.mark.service
def test_a_live_stream_follows_another_process_and_the_service_still_stops_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as service, store_of(tmp_path) as store:
        sweep = httpx2.post(f"{service.url}/v1/sweeps", json=submission(seeds=[1])).json()["id"]
        with httpx2.stream("GET", f"{service.url}/v1/sweeps/{sweep}/events", timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith("id:")) == "id: 1"
            with store.write() as c:
                events.add(c, sweep, "warning", at=1.0, data={})
            began = time.monotonic()
            assert next(line for line in lines if line.startswith("id:")) == "id: 2"
            assert time.monotonic() - began < 3
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(timeout=5) in (0, -signal.SIGTERM)
            assert not [line for line in lines if line.startswith("id:")]


@contextmanager
def store_of(folder: Path) -> Any:
    """The service's database, opened by this process too."""
    store = open_store(f"sqlite:///{folder / 'service.sqlite'}")
    try:
        yield store
    finally:
        store.close()


PAUSE_S = volume(0.05, 0.25)
"""Between two events. Every client reads all of them and begins anew every nine, so 200 clients at 20 events a second would
be a test of this machine's cores."""


@pytest.mark.service
def test_clients_that_drop_and_return_see_every_event_once(tmp_path: Path) -> None:
    clients, seconds = volume(50, 200, gate=20), volume(20, 600, gate=8)
    with served(tmp_path) as service, store_of(tmp_path) as store:
        ids = [httpx2.post(f"{service.url}/v1/sweeps", json=submission(seeds=[1])).json()["id"] for _ in range(3)]
        seen, written = asyncio.run(_drops(service, store, ids, clients, seconds))
        rss = service.rss_bytes()
        began = time.monotonic()
        service.process.terminate()
        service.process.wait(timeout=10)
        stopped_s = time.monotonic() - began
    for sweep, numbers_seen in seen:
        assert numbers_seen == list(range(1, written[sweep] + 1))
    drops = len(seen)
    measured("sse", {"clients": clients, "seconds": seconds, "events": sum(written.values()), "rss": rss, "stop_s": stopped_s})
    assert drops == clients
    assert rss < 400e6
    assert stopped_s < 5


async def _drops(service: Served, store: Store, ids: list[str], clients: int, seconds: float) -> tuple[Any, dict[str, int]]:
    """Clients on three sweeps that are cut off again and again while events are written; then all catch up."""
    done = asyncio.Event()
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=service.url, timeout=30, limits=limits) as http:
        watching = [asyncio.create_task(_watch(http, ids[n % len(ids)], done, n)) for n in range(clients)]
        until = time.monotonic() + seconds
        count = 0
        while time.monotonic() < until:
            await asyncio.to_thread(_write, store, ids[count % len(ids)], count)
            count += 1
            await asyncio.sleep(PAUSE_S)
        for sweep in ids:
            await asyncio.to_thread(_cancel, store, sweep)
        done.set()
        seen = await asyncio.wait_for(asyncio.gather(*watching), 120)
    with store.read() as c:
        return seen, {sweep: sweeps.get(c, sweep).event_count for sweep in ids}  # type: ignore[union-attr]


async def _watch(http: httpx2.AsyncClient, sweep: str, done: asyncio.Event, seed: int) -> tuple[str, list[int]]:
    """Read a sweep's events to the end, hanging up every few of them."""
    seen: list[int] = []
    while True:
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        patience = 1 + (seed + len(seen)) % 17
        async with http.stream("GET", f"/v1/sweeps/{sweep}/events", headers=headers) as answer:
            if answer.status_code == 204:
                return sweep, seen
            assert answer.status_code == 200, answer.status_code
            async for line in answer.aiter_lines():
                if line == "event: end":
                    return sweep, seen
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
                    patience -= 1
                if patience == 0 and not done.is_set():
                    break


def _write(store: Store, sweep: str, number: int) -> None:
    with store.write() as c:
        events.add(c, sweep, "warning", at=float(number), data={"n": number})


def _cancel(store: Store, sweep: str) -> None:
    with store.write() as c:
        sweeps.cancel_asked(c, sweep, now=1.0)


def test_a_stream_shows_states_as_they_change(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.FAILED, reason="out of memory")
    report(service.ctx, sweep)
    messages = parsed(service.client.get(f"/v1/sweeps/{sweep}/events").text)
    states = [json.loads(m["data"])["data"].get("state") for m in messages if m["event"] == "state"]
    assert states == ["SUBMITTING", "SUBMITTED", "RUNNING", "FAILED"]
