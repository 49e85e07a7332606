"""The client against a real server, over lines that break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from api.client import Client, Patience, RequestRefused, ServiceAway, exit_code, watch
from api.client.events import events
from api.models import SweepSubmission
from api.service import cancel
from api.store import events as stored_events
from api.store import sweeps
from api.store.rows import Scope
from recur.errors import InputError
from recur.record.result import State
from tests.api.cli.kit import QUICK, Served, line, served
from tests.api.kit import advance, finish, prepare, report

SMALL = SweepSubmission(profile="smoke", seeds=[1, 2, 3])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("out")) as running:
        yield running


def known(service: Served) -> int:
    with service.ctx.store.read() as c:
        return len(sweeps.listed(c, limit=200, after=None, state=None, sort="-created_at").lines)


def test_a_submission_is_read_listed_cancelled_and_tried_again(service: Served) -> None:
    with service.client() as client:
        made = client.submit(SMALL).sweep
        assert [seed.seed for seed in client.sweep(made.id).seeds] == [1, 2, 3]
        assert made.id in [one.id for one in client.sweeps(limit=200).sweeps]
        assert client.cancel(made.id).state == "CANCELLED"
        again = client.retry(made.id, [2])
        assert [(seed.state, seed.attempt) for seed in again.seeds] == [("CANCELLED", 1), ("QUEUED", 2), ("CANCELLED", 1)]


@pytest.mark.parametrize("faults", [("lose",), ("refuse", "lose"), ("lose", "lose", "lose"), (40,)])
def test_a_submission_whose_answer_is_lost_is_repeated_and_makes_one_sweep(
    service: Served, faults: tuple[str | int, ...]
) -> None:
    before = known(service)
    with line(service.port, *faults) as broken, service.client(broken.url) as client:
        done = client.submit(SMALL)
        assert broken.connections == len(faults) + 1
    assert done.replayed == (faults != ("refuse",))
    assert known(service) == before + 1


def test_one_idempotency_key_makes_one_sweep(service: Served) -> None:
    with service.client() as client:
        first, second = client.submit(SMALL, idempotency_key="k-1"), client.submit(SMALL, idempotency_key="k-1")
        assert (first.replayed, second.replayed) == (False, True)
        assert first.sweep.id == second.sweep.id
        with pytest.raises(RequestRefused, match="422 idempotency_conflict"):
            client.submit(SweepSubmission(profile="smoke", seeds=[9]), idempotency_key="k-1")


def test_a_retry_whose_answer_is_lost_is_not_repeated(service: Served) -> None:
    with service.client() as client:
        made = client.submit(SMALL).sweep
        client.cancel(made.id)
    with line(service.port, "lose") as broken, service.client(broken.url) as client:
        with pytest.raises(ServiceAway, match="was lost"):
            client.retry(made.id)
        assert broken.connections == 1
        assert {seed.attempt for seed in client.sweep(made.id).seeds} == {2}


def test_a_refused_value_is_one_line_with_its_place_and_the_cure(service: Served) -> None:
    with service.client() as client, pytest.raises(InputError) as caught:
        client.submit(SweepSubmission(profile="smoke", seeds=[1], overrides={"train.stepz": 5}))
    assert str(caught.value).startswith("/overrides/train.stepz: ")
    assert "did you mean train.steps" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_key_is_refused_and_a_right_one_is_not(tmp_path: Path) -> None:
    from api.store import keys

    with served(tmp_path, require_keys=True) as guarded:
        with guarded.ctx.store.write() as c:
            secret = keys.create(c, "t", Scope.READ, now=time.time()).secret
        for wrong in (None, "recur_0000000000000000_" + "x" * 43):
            with guarded.client(key=wrong) as client, pytest.raises(RequestRefused) as caught:
                client.sweeps()
            assert caught.value.status == 401
        with guarded.client(key=secret) as client:
            assert client.sweeps().sweeps == []
            with pytest.raises(RequestRefused) as caught:
                client.submit(SMALL)
        assert caught.value.status == 403


def test_no_service_is_said_with_the_cure_after_some_patience() -> None:
    slept: list[float] = []
    away = Client("http://127.0.0.1:9", patience=Patience(total_s=3.0), clock=lambda: sum(slept), sleep=slept.append)
    with away as client, pytest.raises(ServiceAway, match="recur up"):
        client.sweeps()
    assert 3 <= len(slept) <= 6
    assert sum(slept) <= 3.0


@pytest.mark.parametrize(("status", "error"), [(429, RequestRefused), (503, ServiceAway)])
def test_retry_after_is_honoured(status: int, error: type[Exception]) -> None:
    replies = [httpx2.Response(status, headers={"Retry-After": "7"}), httpx2.Response(200, json={"sweeps": [], "next": None})]
    slept: list[float] = []

    def client(total_s: float) -> Client:
        transport = httpx2.MockTransport(lambda request: replies[min(len(slept), 1)])
        return Client(
            "http://x", patience=Patience(total_s=total_s), clock=lambda: sum(slept), sleep=slept.append, transport=transport
        )

    with client(total_s=60) as patient:
        assert patient.sweeps().sweeps == []
    assert slept == [7.0]
    slept.clear()
    with client(total_s=5) as impatient, pytest.raises(error):
        impatient.sweeps()
    assert slept == []


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"detail": "a\\nb\\u001b[31m"}', b'{"errors": ["x"]}'])
def test_an_answer_that_is_no_problem_document_is_still_one_plain_line(body: bytes) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(418, content=body))
    with Client("http://x", transport=transport) as client, pytest.raises(RequestRefused) as caught:
        client.sweeps()
    assert "418" in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_answer_of_another_server_is_no_crash() -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, text="<html>hello</html>"))
    with Client("http://x", transport=transport) as client, pytest.raises(ServiceAway, match="is this a recur service"):
        client.sweeps()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8800", "ftp://x", "http://", "http://x:port", "http://x:99999", "http://[x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="http://host:port"):
        Client(url)


@pytest.mark.parametrize("key", ["", " x", "a\nb", "ü"])
def test_a_key_that_no_header_takes_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="RECUR_API_KEY"):
        Client("http://x", key)


def test_events_come_once_and_in_order_over_lines_that_break(service: Served) -> None:
    with service.client() as client:
        sweep = client.submit(SMALL).sweep.id
    cuts: list[str | int | None] = [900, "refuse", 1200, 700, "lose", 1500, 1000, 800, 1100]
    seen = []
    with line(service.port, *cuts) as broken, service.client(broken.url) as client:
        writer = threading.Thread(target=_write, args=(service, sweep, 200))
        writer.start()
        for event in events(client, sweep, patience=QUICK):
            seen.append(event.number)
            if len(seen) == 200:
                break
        writer.join()
        assert broken.connections > len(cuts)
    assert seen == list(range(1, 201))


def _write(service: Served, sweep: str, upto: int) -> None:
    while True:
        with service.ctx.store.write() as c:
            row = stored_events.add(c, sweep, "progress", at=time.time(), seed=1, attempt=1, data={"progress": {"step": 1}})
        service.ctx.nudge()
        if row.number >= upto:
            return
        time.sleep(0.005)


def test_events_of_an_unknown_sweep_are_refused_at_once(service: Served) -> None:
    with service.client() as client, pytest.raises(RequestRefused, match="404"):
        next(events(client, "nope"))


def test_watching_ends_with_the_sweep_and_its_exit_code(service: Served) -> None:
    with service.client() as client:
        sweep = client.submit(SMALL).sweep.id
        shown: list[str] = []
        worker = threading.Thread(target=_run, args=(service, sweep))
        worker.start()
        ended = watch(client, sweep, lambda now: shown.append(now.state))
        worker.join()
    assert ended.state == "SUCCEEDED"
    assert exit_code(ended) == 0
    assert shown[0] == "QUEUED"
    assert "RUNNING" in shown
    assert ended.statistics.mean_val_bpb == pytest.approx(1.1)


def test_a_profile_whose_seeds_scatter_widely_can_still_be_submitted_and_read(service: Served) -> None:
    with service.client() as client:
        first = client.submit(SMALL).sweep.id
        prepare(service.ctx, first)
        finish(service.ctx, first, {1: 1.0, 2: 1.1, 3: 1.2})
        second = client.submit(SMALL).sweep
        assert "0.0005 needs more than 10,000" in str(client.sweep(second.id).statistics.planned)


def _run(service: Served, sweep: str) -> None:
    prepare(service.ctx, sweep)
    for seed in (1, 2, 3):
        time.sleep(0.1)
        advance(service.ctx, sweep, seed, State.RUNNING)
        service.ctx.nudge()
    finish(service.ctx, sweep, {1: 1.099, 2: 1.1, 3: 1.101})
    report(service.ctx, sweep)
    service.ctx.nudge()


def test_watching_goes_on_over_a_restart_of_the_service(tmp_path: Path) -> None:
    with served(tmp_path) as first, first.client() as client:
        sweep, port = client.submit(SMALL).sweep.id, first.port
    found: list[State] = []

    def follow() -> None:
        with Client(f"http://127.0.0.1:{port}", patience=QUICK) as client:
            found.append(State(watch(client, sweep).state))

    with served(tmp_path, port):
        follower = threading.Thread(target=follow)
        follower.start()
        time.sleep(0.5)
    time.sleep(0.5)
    with served(tmp_path, port) as again:
        cancel(again.ctx, sweep)
        again.ctx.nudge()
        follower.join(20)
    assert found == [State.CANCELLED]
