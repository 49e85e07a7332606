"""The interface under volume, over real sockets: duplicates, malformed bodies, paths that try to escape, ten thousand sweeps."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.store import Store, sweeps
from api.store.rows import NewSweep, Pool
from recur.recipe import load_recipe, recipe_to_json
from tests.api.http.test_bodies import MALFORMED
from tests.api.http.test_events import store_of
from tests.api.kit import Running, Served, running, served, submission
from tests.api.volume import measured, volume

pytestmark = pytest.mark.service


def test_one_key_sent_by_many_at_once_makes_one_sweep(tmp_path: Path) -> None:
    clients, rounds = volume(200, 1000, gate=100), volume(2, 20, gate=1)
    statuses: dict[int, int] = {}
    with served(tmp_path) as service:
        for number in range(rounds):
            answers = asyncio.run(_duplicates(service, clients, f"key-{number}"))
            ids = {body["id"] for status, body in answers if status == 202}
            assert len(ids) == 1
            for status, _ in answers:
                statuses[status] = statuses.get(status, 0) + 1
            assert asyncio.run(_duplicates(service, 1, f"key-{number}"))[0][1]["id"] in ids
        listed = httpx2.get(f"{service.url}/v1/sweeps?limit=200").json()["sweeps"]
    measured("duplicates", {"clients": clients, "rounds": rounds, "statuses": statuses})
    assert len(listed) == rounds
    assert set(statuses) <= {202, 409}, statuses


async def _duplicates(service: Served, clients: int, key: str) -> list[tuple[int, Any]]:
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=service.url, timeout=120, limits=limits) as http:
        body, headers = submission(), {"Idempotency-Key": key}
        answers = await asyncio.gather(*(http.post("/v1/sweeps", json=body, headers=headers) for _ in range(clients)))
    return [(answer.status_code, answer.json()) for answer in answers]


def test_malformed_bodies_end_in_problems_and_cost_no_memory(tmp_path: Path) -> None:
    count, rng = volume(500, 5000, gate=200), random.Random(5)
    with served(tmp_path, body_deadline_s=1.0) as service, httpx2.Client(base_url=service.url, timeout=30) as http:
        for body in MALFORMED.values():  # everything is loaded before memory is measured
            http.post("/v1/sweeps", content=body, headers={"Content-Type": "application/json"})
        before, statuses = service.rss_bytes(), dict[int, int]()
        for number in range(count):
            status = _malformed(http, service, rng, number)
            statuses[status] = statuses.get(status, 0) + 1
        growth = service.rss_bytes() - before
        assert http.get("/v1/sweeps").status_code == 200
    measured("malformed", {"bodies": count, "statuses": statuses, "rss_growth_bytes": growth})
    assert set(statuses) <= {400, 408, 413, 415, 422, 0}, statuses
    assert growth < 50e6


def _malformed(http: httpx2.Client, service: Served, rng: random.Random, number: int) -> int:
    """Send one; the status, or 0 where the server has hung up before it had all (a body that is too large)."""
    good = json.dumps(submission(overrides={"train.steps": 5})).encode()
    kinds: list[Callable[[], bytes]] = [
        lambda: rng.choice(list(MALFORMED.values())),
        lambda: good[: rng.randrange(len(good))],
        lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400))),
        lambda: b'{"a":' * rng.randrange(20, 100_000),
        lambda: b"[" * rng.randrange(20, 1_000_000),
        lambda: b'{"profile": "' + b"x" * rng.randrange(100, 1_000_000) + b'", "seeds": [1]}',
        lambda: good[:-1] + b', "' + bytes(rng.randrange(97, 123) for _ in range(8)) + b'": 1}',
    ]
    if number % 100 == 50:
        return _slow(service)
    if number % 100 == 99:
        return _hundred_megabytes(http)
    answer = http.post("/v1/sweeps", content=rng.choice(kinds)(), headers={"Content-Type": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code


def _hundred_megabytes(http: httpx2.Client) -> int:
    piece = b" " * (1 << 20)
    try:
        return http.post(
            "/v1/sweeps", content=(piece for _ in range(100)), headers={"Content-Type": "application/json"}
        ).status_code
    except httpx2.TransportError:
        return 0


def _slow(service: Served) -> int:
    """A body that stops in the middle."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as s:
        head = f"POST /v1/sweeps HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{{"
        s.sendall(head.encode())
        began = time.monotonic()
        status = int(s.recv(4096).split()[1])
        assert time.monotonic() - began < 10
    return status


ESCAPES: tuple[str, ...] = ("..", "../..", "/etc/passwd", "..\\..", "%2e%2e", "%2e%2e%2f", "..%2f..%2f", "%252e%252e", "....//")
ESCAPES += (
    "\x00",
    "%00",
    "~",
    ".",
    "file:///etc/passwd",
    "C:\\windows",
    "smoke.toml",
    "a/../../b",
    "-",
    "--help",
    "$(id)",
    "`id`",
    ";id",
    "|id",
)
ESCAPES += ("\u2025/", "%c0%ae")


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    count, rng = volume(300, 2000, gate=100), random.Random(7)
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET-CONTENT")
    out = tmp_path / "out"
    with running(out, raise_errors=False) as service:
        real = service.submit(seeds=[1])["id"]
        known = {path for path in tmp_path.rglob("*") if "service.sqlite" not in path.name}
        for _ in range(count):
            name = "/".join(rng.choice((*ESCAPES, str(secret), "secret.txt", real, "1")) for _ in range(rng.randrange(1, 5)))
            answer = _asked(service, rng, name, real)
            assert answer.status_code < 500, (name, answer.text)
            assert b"SECRET-CONTENT" not in answer.content
            assert b"root:x:" not in answer.content
        assert {path for path in tmp_path.rglob("*") if "service.sqlite" not in path.name} == known


def _asked(service: Running, rng: random.Random, name: str, real: str) -> Any:
    """Put a name where a name is taken: path, query, header or body."""
    from urllib.parse import quote

    raw, encoded = quote(name, safe="/%.~\\"), quote(name, safe="")
    paths = ["/v1/sweeps/{n}", "/v1/sweeps/{n}/results.csv", "/v1/sweeps/{n}/record.zip", "/v1/sweeps/{n}/seeds/1/log"]
    paths += ["/v1/sweeps/{n}/seeds/1/artifact", "/v1/profiles/{n}", "/static/{n}", "/sweeps/{n}", "/{n}"]
    paths += [
        f"/v1/sweeps/{real}/seeds/{{n}}/log",
        f"/v1/sweeps/{real}/{{n}}",
        "/v1/compare?a=1334&b={n}",
        "/v1/sweeps?cursor={n}",
    ]
    if rng.random() < 0.25:
        field: dict[str, Any] = rng.choice(
            [
                {"profile": name},
                {"baseline": name},
                {"name": name},
                {"overrides": {"data.variant": name}},
                {"overrides": {name: 1}},
            ]
        )
        return service.client.post("/v1/sweeps", json=submission(**field), headers={"Idempotency-Key": encoded[:200]})
    return service.client.get(rng.choice(paths).replace("{n}", rng.choice((raw, encoded))), follow_redirects=False)


def test_ten_thousand_sweeps_are_listed_and_added_to_quickly(tmp_path: Path) -> None:
    count = volume(10_000, 10_000, gate=2_000)
    with store_of(tmp_path) as store:
        _fill(store, count)
    with served(tmp_path) as service, httpx2.Client(base_url=service.url, timeout=60) as http:
        http.post("/v1/sweeps", json=submission())  # loads what the first request loads
        submits = [_timed(lambda: http.post("/v1/sweeps", json=submission()), 202) for _ in range(60)]
        queries = ["", "?limit=200", "?status=QUEUED", "?status=FAILED", "?sort=name", "?sort=-name&limit=200"]
        lists = [_timed(lambda q=query: http.get(f"/v1/sweeps{q}"), 200) for _ in range(10) for query in queries]  # type: ignore[misc]
        queue = [_timed(lambda: http.get("/v1/queue"), 200) for _ in range(10)]
        rss = service.rss_bytes()
    found = {
        "sweeps": count,
        "list_p95_ms": _p95(lists),
        "submit_p95_ms": _p95(submits),
        "queue_p95_ms": _p95(queue),
        "rss_bytes": rss,
    }
    measured("ten_thousand", found)
    assert found["list_p95_ms"] < 150, found
    assert found["submit_p95_ms"] < 100, found
    assert rss < 400e6, found


def _fill(store: Store, count: int) -> None:
    recipe = json.loads(recipe_to_json(load_recipe("smoke")))
    for start in range(0, count, 500):
        with store.write() as c:
            for number in range(start, min(start + 500, count)):
                new = NewSweep(
                    sweep=f"sweep-{number:05d}",
                    name=f"name {number % 97}",
                    profile="smoke",
                    overrides={},
                    recipe=recipe,
                    seeds=(1, 2, 3),
                    priority=number % 5,
                    baseline=None,
                    pool=Pool.CPU,
                    created_at=1.7e9 + number,
                )
                sweeps.create(c, new, ageing_s=3600)


def _timed(ask: Callable[[], Any], status: int) -> float:
    began = time.perf_counter()
    answer = ask()
    spent = time.perf_counter() - began
    assert answer.status_code == status, answer.text
    return spent


def _p95(seconds: list[float]) -> float:
    return round(1000 * statistics.quantiles(seconds, n=20)[-1], 1)
