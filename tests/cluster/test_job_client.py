"""Job ids, command lines, and the fake job system's likeness to Ray."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from cluster.job_client import JobRequest, JobState, JobsUnreachable, job_id, seed_entrypoint
from cluster.memory_jobs import InMemoryJobs
from cluster.session import without_addresses
from recur.errors import InputError

REQUEST = JobRequest(job_id="a-s1-a1", entrypoint="true")


def test_a_job_id_names_sweep_seed_and_attempt() -> None:
    assert job_id("my-sweep", 42, 3) == "my-sweep-s42-a3"


@pytest.mark.parametrize("sweep", ["", "../x", "Up", "a_b", "-a", "x" * 60, "a b", "ü"])
def test_ids_that_ray_cannot_remove_again_are_refused(sweep: str) -> None:
    with pytest.raises(InputError):
        job_id(sweep, 42, 1)


def test_a_hostile_path_stays_one_argument_of_the_command_line() -> None:
    words = shlex.split(seed_entrypoint(Path("/out/$(reboot); x'y/spec.json"), python="/py"))
    assert words == ["/py", "jobs/seed.py", "--spec", "/out/$(reboot); x'y/spec.json"]


def test_a_second_submission_of_one_id_is_the_same_job() -> None:
    jobs = InMemoryJobs()
    jobs.submit(REQUEST)
    jobs.set("a-s1-a1", JobState.RUNNING)
    jobs.submit(REQUEST)
    found = jobs.info("a-s1-a1")
    assert found is not None
    assert found.state is JobState.RUNNING
    assert len(jobs.requests) == 1


def test_a_pending_job_does_not_hear_a_stop() -> None:
    jobs = InMemoryJobs()
    jobs.submit(REQUEST)
    jobs.stop("a-s1-a1")
    found = jobs.info("a-s1-a1")
    assert found is not None
    assert found.state is JobState.PENDING


def test_an_unreachable_system_says_nothing_about_its_jobs() -> None:
    jobs = InMemoryJobs()
    jobs.unreachable = True
    with pytest.raises(JobsUnreachable):
        jobs.info("a-s1-a1")


def test_rays_overriding_addresses_are_hidden_only_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with without_addresses():
        assert "RAY_ADDRESS" not in os.environ
    assert os.environ["RAY_ADDRESS"] == "10.0.0.1:6379"
