"""The whole service: a submission over HTTP becomes jobs, results, a report; and what was answered survives a kill."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.http.test_events import numbers, parsed
from tests.api.kit import Running, running, served, submission
from tests.api.reconciler.kit import StubHelper
from tests.api.stub_jobs import StubJobs


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A service with its reconciler on a stub of the job system."""

    service: Running
    jobs: StubJobs

    def sweep(self, sweep: str) -> Any:
        return self.service.client.get(f"/v1/sweeps/{sweep}").json()

    def until(self, sweep: str, wanted: Callable[[Any], bool], timeout_s: float = 20.0) -> Any:
        """The sweep as soon as it is as wanted."""
        end = time.monotonic() + timeout_s
        while not wanted(found := self.sweep(sweep)):
            assert time.monotonic() < end, found
            time.sleep(0.02)
        return found


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    jobs = StubJobs(tmp_path / "jobs")
    options = {"jobs": jobs, "cluster": jobs, "helper": StubHelper(tmp_path / "out")}
    with running(tmp_path / "out", app_options=options, reconcile=True, tick_s=0.02, cpu_slots=1) as service:
        yield Whole(service=service, jobs=jobs)


def states(sweep: Any) -> list[str]:
    return [seed["state"] for seed in sweep["seeds"]]


def test_a_submission_runs_seed_by_seed_and_is_reported(whole: Whole) -> None:
    sweep = whole.service.submit(seeds=[1, 2], baseline="1334")["id"]
    for seed in (1, 2):
        job = f"{sweep}-s{seed}-a1"
        whole.until(sweep, lambda s, n=seed: states(s)[n - 1] == "SUBMITTED")  # type: ignore[misc]
        whole.jobs.start(job)
        whole.until(sweep, lambda s, n=seed: states(s)[n - 1] == "RUNNING")  # type: ignore[misc]
        whole.jobs.advance(job)
        whole.jobs.finish(job)
    done = whole.until(sweep, lambda s: s["reported_at"] is not None)
    assert states(done) == ["SUCCEEDED", "SUCCEEDED"]
    assert done["statistics"]["n"] == 2
    assert done["statistics"]["verdict"]
    assert done["warning"] == "not publishable"
    assert whole.jobs.accepted() == [f"{sweep}-s1-a1", f"{sweep}-s2-a1"]
    told = parsed(whole.service.client.get(f"/v1/sweeps/{sweep}/events").text)
    assert numbers(told) == list(range(1, done["event_count"] + 1))
    assert told[-1]["event"] == "end"
    artifact = whole.service.client.get(f"/v1/sweeps/{sweep}/seeds/1/artifact")
    assert artifact.headers["X-SHA256"] == hashlib.sha256(artifact.content).hexdigest()
    assert len(artifact.content) == done["seeds"][0]["model_bytes"]
    assert f"log of {sweep}-s1-a1" in whole.service.client.get(f"/v1/sweeps/{sweep}/seeds/1/log").text


def test_cancelling_reaches_the_jobs(whole: Whole) -> None:
    sweep = whole.service.submit(seeds=[1, 2])["id"]
    whole.until(sweep, lambda s: states(s)[0] == "SUBMITTED")
    whole.jobs.start(f"{sweep}-s1-a1")
    waiting = whole.until(sweep, lambda s: states(s)[0] == "RUNNING")["seeds"][1]["waiting"]
    assert (waiting["place"], waiting["why"]) == (1, f"the only cpu slot is held by {sweep}-s1-a1")
    asked = whole.service.client.post(f"/v1/sweeps/{sweep}/cancel").json()
    assert states(asked)[1] == "CANCELLED"
    assert states(whole.until(sweep, lambda s: s["state"] == "CANCELLED")) == ["CANCELLED", "CANCELLED"]


def test_a_job_system_that_is_away_degrades_the_service_and_stops_nothing(whole: Whole) -> None:
    whole.jobs.turn(away=True)
    sweep = whole.service.submit(seeds=[1])["id"]
    end = time.monotonic() + 20
    while (ready := whole.service.client.get("/readyz")).json()["status"] != "degraded":
        assert time.monotonic() < end, ready.text
    assert (ready.status_code, "away" in ready.json()["degraded"]) == (200, True)
    assert states(whole.sweep(sweep))[0] in ("QUEUED", "SUBMITTING")
    whole.jobs.turn(away=False)
    whole.until(sweep, lambda s: states(s) == ["SUBMITTED"])


@pytest.mark.service
def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": "k1"}
    with served(tmp_path) as service:
        first = httpx2.post(f"{service.url}/v1/sweeps", json=submission(), headers=headers)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with served(tmp_path) as service:
        again = httpx2.post(f"{service.url}/v1/sweeps", json=submission(), headers=headers)
        listed = httpx2.get(f"{service.url}/v1/sweeps").json()["sweeps"]
    assert (first.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert [line["id"] for line in listed] == [first.json()["id"]] == [again.json()["id"]]
