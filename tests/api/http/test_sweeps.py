"""Reading, listing, cancelling and retrying sweeps."""

from __future__ import annotations

import base64
import json

import pytest

from recur.record.result import State
from tests.api.kit import Running, advance, finish, prepare, report


def test_an_unchanged_sweep_is_not_sent_again(service: Running) -> None:
    url = service.submit()["links"]["self"]
    first = service.client.get(url)
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    for given in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        same = service.client.get(url, headers={"If-None-Match": given})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    assert service.client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_etag_changes_with_the_sweep(service: Running) -> None:
    sweep = service.submit()
    etag = service.client.get(sweep["links"]["self"]).headers["ETag"]
    prepare(service.ctx, sweep["id"])
    advance(service.ctx, sweep["id"], 1, State.RUNNING)
    changed = service.client.get(sweep["links"]["self"], headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_a_finished_seed_shows_its_numbers_gates_and_history(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.0801})
    seed = service.client.get(f"/v1/sweeps/{sweep}").json()["seeds"][0]
    assert seed["state"] == "SUCCEEDED"
    assert seed["val_bpb"]["sliding"] == 1.0801
    assert (seed["train_s"], seed["eval_s"]) == (588.2, 311.5)
    assert seed["total_bytes"] + seed["slack_bytes"] == seed["cap_bytes"]
    assert [gate["name"] for gate in seed["gates"]] == ["total_bytes", "train_s"]
    assert seed["dashboard"].endswith(f"/#/jobs/{sweep}-s1-a1")
    history = seed["attempts"][0]
    assert history["queued_at"] <= history["admitted_at"] <= history["running_at"] <= history["ended_at"]


def test_the_list_is_paged_without_gaps_while_sweeps_come_in(service: Running) -> None:
    names = [service.submit(name=f"n{n}", seeds=[1])["id"] for n in range(7)]
    seen, cursor = [], None
    while True:
        page = service.client.get("/v1/sweeps", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [line["id"] for line in page["sweeps"]]
        service.submit(name="later", seeds=[1])
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == names[::-1]


def test_the_list_is_filtered_and_sorted(service: Running) -> None:
    b, a = service.submit(name="b", seeds=[1])["id"], service.submit(name="a", seeds=[1])["id"]
    prepare(service.ctx, b)
    advance(service.ctx, b, 1, State.RUNNING)

    def ids(**params: str) -> list[str]:
        return [line["id"] for line in service.client.get("/v1/sweeps", params=params).json()["sweeps"]]

    assert ids(status="RUNNING") == [b]
    assert ids(status="QUEUED") == [a]
    assert ids(sort="name") == [a, b]
    assert ids(sort="created_at") == [b, a]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "status=DONE",
        "sort=size",
        "cursor=%00",
        "cursor=abc",
        "page=2",
        "limit=1&limit=2",
        "LIMIT=1",
    ],
)
def test_a_bad_or_unknown_parameter_is_refused(shared: Running, query: str) -> None:
    answer = shared.client.get(f"/v1/sweeps?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["", "/cancel", "/retry", "/events", "/results.csv", "/record.zip", "/seeds/1/log", "/seeds/1/artifact"]
)
def test_an_unknown_sweep_is_not_found(shared: Running, path: str) -> None:
    method = "POST" if path in ("/cancel", "/retry") else "GET"
    answer = shared.client.request(method, f"/v1/sweeps/nothing-here{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sweep")


def test_cancelling_ends_queued_seeds_at_once_and_running_ones_soon(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.RUNNING)
    answer = service.client.post(f"/v1/sweeps/{sweep}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "CANCELLING")
    assert [seed["state"] for seed in answer.json()["seeds"]] == ["CANCELLING", "CANCELLED"]
    assert answer.json()["cancelled_at"] is not None
    again = service.client.post(f"/v1/sweeps/{sweep}/cancel")
    assert again.status_code == 202
    assert again.json()["event_count"] == answer.json()["event_count"]


def test_a_finished_sweep_cannot_be_cancelled(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08})
    answer = service.client.post(f"/v1/sweeps/{sweep}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")


def test_only_seeds_that_failed_are_run_again(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2, 3])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08})
    advance(service.ctx, sweep, 2, State.FAILED, reason="out of memory")
    advance(service.ctx, sweep, 3, State.FAILED, reason="out of memory")
    report(service.ctx, sweep)
    answer = service.client.post(f"/v1/sweeps/{sweep}/retry")
    assert answer.status_code == 202
    assert [(s["state"], s["attempt"]) for s in answer.json()["seeds"]] == [("SUCCEEDED", 1), ("QUEUED", 2), ("QUEUED", 2)]
    assert answer.json()["seeds"][1]["attempts"][0]["reason"] == "out of memory"
    assert answer.json()["reported_at"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"seeds": [1]}, 409, "not_retryable"),
        ({"seeds": [2]}, 409, "not_retryable"),
        ({"seeds": [9]}, 422, "invalid_request"),
        ({"seeds": [3, 3]}, 422, "invalid_request"),
        ({"seeds": []}, 422, "invalid_request"),
        ({"seed": 3}, 422, "invalid_request"),
        ({"seeds": [3]}, 202, None),
        ({}, 202, None),
    ],
)
def test_what_may_be_run_again(service: Running, body: dict[str, object], status: int, code: str | None) -> None:
    sweep = service.submit(seeds=[1, 2, 3])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08})
    advance(service.ctx, sweep, 3, State.FAILED, reason="out of memory")
    answer = service.client.post(f"/v1/sweeps/{sweep}/retry", json=body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_nothing_to_retry_is_a_conflict(service: Running) -> None:
    sweep = service.submit(seeds=[1])["id"]
    answer = service.client.post(f"/v1/sweeps/{sweep}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_retry")


def test_a_retry_takes_over_finished_phases_unless_they_were_invalid(service: Running) -> None:
    from api.store import attempts

    sweep = service.submit(seeds=[1, 2, 3])["id"]
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.FAILED, reason="x")
    advance(service.ctx, sweep, 2, State.INVALID, reason="too large")
    advance(service.ctx, sweep, 3, State.CANCELLED)
    service.client.post(f"/v1/sweeps/{sweep}/retry")
    with service.ctx.store.read() as c:
        assert [row.adopt_from for row in attempts.current(c, sweep)] == [1, None, None]


@pytest.mark.parametrize(
    ("sort", "value", "last"), [("name", "\ud800", "x"), ("created_at", 1.0, "\ud800"), ("name", "a\0", "x")]
)
def test_a_cursor_that_no_database_takes_is_refused(service: Running, sort: str, value: object, last: str) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([sort, value, last]).encode()).decode().rstrip("=")
    answer = service.client.get("/v1/sweeps", params={"sort": sort, "cursor": cursor})
    assert answer.status_code == 422 and "cursor" in answer.json()["detail"]
