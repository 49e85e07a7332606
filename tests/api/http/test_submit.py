"""Submitting a sweep: what is stored, what is refused and where, and that a repeated request makes nothing new."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from api.store import attempts, idempotency, sweeps
from tests.api.kit import Running, finish, prepare, report, running, submission
from tests.api.postgres import Postgres

JSON = {"Content-Type": "application/json"}


def test_a_submission_is_answered_with_the_whole_sweep_and_where_to_look(service: Running) -> None:
    body = submission(name="Shorter smoke!", overrides={"train.steps": 50}, priority=3, baseline="#1334")
    answer = service.client.post("/v1/sweeps", json=body)
    assert answer.status_code == 202
    sweep = answer.json()
    assert re.fullmatch(r"shorter-smoke-\d{6}-[a-z0-9]{6}", sweep["id"])
    assert answer.headers["Location"] == f"/v1/sweeps/{sweep['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert (sweep["state"], sweep["priority"], sweep["baseline"], sweep["pool"]) == ("QUEUED", 3, "1334", "cpu")
    assert [(s["seed"], s["state"], s["attempt"]) for s in sweep["seeds"]] == [(n, "QUEUED", 1) for n in (1, 2, 3)]
    assert service.client.get(answer.headers["Location"]).json() == sweep


def test_what_is_answered_is_on_disk(service: Running) -> None:
    sweep = service.submit(overrides={"train.steps": 50, "evaluate.modes": ["plain", "sliding"]})
    with service.ctx.store.read() as c:
        row = sweeps.get(c, sweep["id"])
        rows = attempts.current(c, sweep["id"])
    assert row is not None
    assert (row.recipe["train"]["steps"], row.seeds, row.created_by) == (50, (1, 2, 3), "local")
    assert [a.job_id for a in rows] == [f"{sweep['id']}-s{n}-a1" for n in (1, 2, 3)]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"profile": "nope"}, "/profile"),
    ({"profile": "auto"}, "/profile"),
    ({"profile": "smoke.toml"}, "/profile"),
    ({"profile": "../smoke"}, "/profile"),
    ({"profile": "/etc/passwd"}, "/profile"),
    ({"profile": 1}, "/profile"),
    ({"profile": None}, "/profile"),
    ({"profile": "x" * 65}, "/profile"),
    ({"seeds": []}, "/seeds"),
    ({"seeds": [-1]}, "/seeds/0"),
    ({"seeds": [2**32]}, "/seeds/0"),
    ({"seeds": [1.5]}, "/seeds/0"),
    ({"seeds": ["x"]}, "/seeds/0"),
    ({"seeds": [True]}, "/seeds/0"),
    ({"seeds": [1, 2, 1]}, "/seeds/2"),
    ({"seeds": list(range(101))}, "/seeds"),
    ({"seeds": 3}, "/seeds"),
    ({"name": "a\nb"}, "/name"),
    ({"name": "a\x00b"}, "/name"),
    ({"name": "x" * 81}, "/name"),
    ({"name": ""}, "/name"),
    ({"priority": 101}, "/priority"),
    ({"priority": -101}, "/priority"),
    ({"priority": "high"}, "/priority"),
    ({"priority": True}, "/priority"),
    ({"baseline": "9999999"}, "/baseline"),
    ({"baseline": "no-such-sweep"}, "/baseline"),
    ({"baseline": "../../etc/passwd"}, "/baseline"),
    ({"extra": 1}, "/extra"),
    ({"overrides": {"train": 5}}, "/overrides/train"),
    ({"overrides": {"train.stepz": 5}}, "/overrides/train.stepz"),
    ({"overrides": {"train.steps": "many"}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": 0}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": None}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": {"a": 1}}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": [[1]]}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": 1.5}}, "/overrides/train.steps"),
    ({"overrides": {"train.steps": True}}, "/overrides/train.steps"),
    ({"overrides": {"train.batch_tokens": 1000}}, "/overrides/train.batch_tokens"),
    ({"overrides": {"data.repo_id": "../../secret"}}, "/overrides/data.repo_id"),
    ({"overrides": {"data.variant": "/etc/passwd"}}, "/overrides/data.variant"),
    ({"overrides": {"train.attention": "a\nb = 1"}}, "/overrides/train.attention"),
    ({"overrides": {"TRAIN.steps": 5}}, "/overrides/TRAIN.steps"),
    ({"overrides": {"a/b.c": 5}}, "/overrides/a~1b.c"),
    ({"overrides": {"__class__.x": 5}}, "/overrides/__class__.x"),
    ({"overrides": {"evaluate.modes": ["x"] * 300}}, "/overrides/evaluate.modes"),
    ({"overrides": [1]}, "/overrides"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_value_is_refused_at_its_place(shared: Running, change: dict[str, Any], pointer: str) -> None:
    answer = shared.client.post("/v1/sweeps", json=submission(**change))
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["pointer"] == pointer
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert shared.client.get("/v1/sweeps").json()["sweeps"] == []


def test_a_near_key_is_suggested(service: Running) -> None:
    problem = service.client.post("/v1/sweeps", json=submission(overrides={"train.stepz": 5})).json()
    assert (problem["code"], problem["hint"]) == ("recipe_refused", "did you mean train.steps?")


def test_the_same_key_and_body_make_one_sweep(service: Running) -> None:
    headers = {"Idempotency-Key": "0b6c8f8e"}
    first = service.client.post("/v1/sweeps", json=submission(seeds=[1, 2]), headers=headers)
    again = service.client.post("/v1/sweeps", content=b'{"seeds": [1,2],\n "profile": "smoke"}', headers=headers | JSON)
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    assert len(service.client.get("/v1/sweeps").json()["sweeps"]) == 1


def test_a_key_cannot_be_used_for_another_body(service: Running) -> None:
    headers = {"Idempotency-Key": "k1"}
    service.client.post("/v1/sweeps", json=submission(), headers=headers)
    answer = service.client.post("/v1/sweeps", json=submission(seeds=[9]), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


def test_a_key_in_progress_is_a_conflict_with_a_time_to_wait(service: Running) -> None:
    assert service.ctx.submitting.begin(("local", "k1"))
    answer = service.client.post("/v1/sweeps", json=submission(), headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
    assert int(answer.headers["Retry-After"]) > 0
    service.ctx.submitting.end(("local", "k1"))
    assert service.client.post("/v1/sweeps", json=submission(), headers={"Idempotency-Key": "k1"}).status_code == 202


def test_a_refused_body_does_not_use_up_its_key(service: Running) -> None:
    headers = {"Idempotency-Key": "k1"}
    assert service.client.post("/v1/sweeps", json=submission(profile="nope"), headers=headers).status_code == 422
    assert service.client.post("/v1/sweeps", json=submission(), headers=headers).status_code == 202


def test_a_key_that_another_process_used_a_moment_ago_is_a_replay(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = service.client.post("/v1/sweeps", json=submission(), headers=headers).json()
    lookup, calls = idempotency.lookup, iter([None])
    monkeypatch.setattr(idempotency, "lookup", lambda c, owner, key: next(calls, lookup(c, owner, key)))
    again = service.client.post("/v1/sweeps", json=submission(), headers=headers)
    assert (again.headers["Idempotency-Replayed"], again.json()["id"]) == ("true", first["id"])
    assert len(service.client.get("/v1/sweeps").json()["sweeps"]) == 1


@pytest.mark.service
def test_the_interface_works_on_postgresql_as_on_sqlite(tmp_path: Path, postgres: Postgres) -> None:
    with running(tmp_path, database_url=postgres.database()) as service:
        headers = {"Idempotency-Key": "k1"}
        sweep = service.client.post("/v1/sweeps", json=submission(baseline="1334"), headers=headers).json()["id"]
        again = service.client.post("/v1/sweeps", json=submission(baseline="1334"), headers=headers)
        assert (again.headers["Idempotency-Replayed"], again.json()["id"]) == ("true", sweep)
        prepare(service.ctx, sweep)
        finish(service.ctx, sweep, {1: 1.08, 2: 1.09})
        assert service.client.get(f"/v1/sweeps/{sweep}").json()["statistics"]["n"] == 2
        assert service.client.post(f"/v1/sweeps/{sweep}/cancel").json()["state"] == "CANCELLED"
        report(service.ctx, sweep)
        assert "event: end" in service.client.get(f"/v1/sweeps/{sweep}/events").text
        for path in ("/v1/sweeps?status=CANCELLED", "/v1/queue", "/metrics", "/readyz", f"/v1/compare?a={sweep}&b=1334"):
            assert service.client.get(path).status_code == 200, path


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "tab\there"])
def test_a_bad_key_is_refused(service: Running, key: str) -> None:
    answer = service.client.post("/v1/sweeps", json=submission(), headers={"Idempotency-Key": key})
    assert answer.status_code == 422


def test_a_full_queue_takes_no_more(tmp_path: Path) -> None:
    with running(tmp_path, max_waiting_seeds=4) as service:
        service.submit(seeds=[1, 2, 3])
        answer = service.client.post("/v1/sweeps", json=submission(seeds=[1, 2]))
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert answer.headers["Retry-After"] == "60"
        assert service.client.post("/v1/sweeps", json=submission(seeds=[1])).status_code == 202
