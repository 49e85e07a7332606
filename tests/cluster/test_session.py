"""Starting a local Ray beside others: its token stays in memory, its jobs run, nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.session import OWN_CLUSTER, join, join_as_seed_job
from recur.errors import InputError
from tests.cluster.kit import ROOT, clean_environment, free_ports, script, short_folder

LOCAL = """
import json, os, sys, time
from pathlib import Path
from cluster.job_client import JobRequest, JobState, RayJobs
from cluster.session import join, leave
import socket
taken = socket.socket()
try:
    taken.bind(("0.0.0.0", 52365)); taken.listen()
except OSError:
    taken = None  # another Ray has the agent's port already, which serves as well
session = join(Path(sys.argv[1]))
import requests
bare = requests.get(session.dashboard + "/api/jobs/", timeout=20).status_code
jobs = RayJobs(session.dashboard)
env = {"working_dir": session.working_dir}
code = ("import os, ray, cluster.session as s; os.environ['RAY_ADDRESS'] = '127.0.0.1:1'; s.join_as_seed_job();"
        "print('from the job', ray.get(ray.remote(lambda: 5).remote()))")  # as if the supervisor had found another Ray
request = JobRequest(job_id="one-s1-a1", entrypoint=f'{sys.executable} -c "{code}"', runtime_env=env)
jobs.submit(request); jobs.submit(request)
end = time.time() + 60
while not jobs.info("one-s1-a1").state.terminal and time.time() < end: time.sleep(0.2)
found = {"bare": bare, "state": jobs.info("one-s1-a1").state, "log": jobs.logs("one-s1-a1"),
         "unknown": jobs.info("nobody"), "gcs": session.working_dir.startswith("gcs://")}
leave(session)
found["env"] = sorted(k for k in os.environ if k.startswith("RAY_AUTH"))
print("FOUND" + json.dumps(found))
"""


@pytest.mark.parametrize("address", ["7", "http://head:8265", "ray://head:10001", "head:", "auto"])
def test_an_address_of_another_form_is_refused_before_ray_is_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="must have the form host:port"):
        join(ROOT, address)


def test_an_address_where_nobody_listens_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="does not answer"):
        join(ROOT, f"127.0.0.1:{free_ports(1)[0]}")


def test_what_answers_but_is_no_head_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(InputError, match="is not a Ray head's GCS"):
            join(ROOT, f"127.0.0.1:{server.server_address[1]}")


def test_a_seed_job_joins_the_cluster_of_its_driver_not_the_newest_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[str] = []
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:2")  # what Ray's supervisor found
    monkeypatch.setenv(OWN_CLUSTER, "10.0.0.1:1")
    monkeypatch.setattr("ray.init", lambda: joined.append(os.environ["RAY_ADDRESS"]))
    join_as_seed_job()
    assert joined == ["10.0.0.1:1"]


@pytest.mark.ray
def test_a_local_ray_keeps_its_token_to_itself_and_runs_jobs_beside_another_head() -> None:
    with short_folder() as home:
        run = [*script("-c", LOCAL), str(ROOT)]
        done = subprocess.run(
            run, env=clean_environment(home), cwd=home, capture_output=True, text=True, timeout=150, check=False
        )
        assert "FOUND" in done.stdout, done.stdout + done.stderr
        found = json.loads(done.stdout.split("FOUND")[1])
        written = [p.name for p in home.rglob("auth_token")]
    assert found["bare"] == 401
    assert found["state"] == "SUCCEEDED", found["log"]
    assert "from the job 5" in found["log"]
    assert found["unknown"] is None
    assert found["gcs"] is True
    assert found["env"] == []
    assert written == []
