"""Starting a local Ray beside others: its token stays in memory, its jobs run, nothing is left."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cluster.kit import ROOT, clean_environment, script, short_folder

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
code = "import ray, recur; ray.init(); print('from the job', ray.get(ray.remote(lambda: 5).remote()))"
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
