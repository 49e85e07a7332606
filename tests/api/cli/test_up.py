"""`recur up` with a real Ray: a sweep from curl to its mean, a head that dies, the end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.client import Client, watch
from api.models import SweepSubmission
from cluster.head import answers
from cluster.processes import descendants
from recur.record.report import read_sweep
from tests.api.cli.kit import recur
from tests.api.cli.upkit import END_S, OVERRIDES, Up, up, words_of
from tests.cluster.kit import named, short_folder, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Up]:
    with up(folder / "out") as started:
        yield started


def listening(pids: list[int]) -> set[str]:
    """Addresses on which these processes listen, as hexadecimal of /proc/net."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = row.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.add(words[1].split(":")[0])
    return found


def test_everything_listens_on_the_loopback_alone(running: Up) -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    addresses = listening(descendants(running.process.pid))
    assert addresses
    assert addresses <= loopback


def test_ray_asks_for_the_token_which_only_this_user_can_read(running: Up) -> None:
    token = Path(running.places["ray_token_file"])
    jobs = f"{running.places['dashboard']}/api/jobs/"
    assert not answers(jobs)
    assert not answers(jobs, "0" * 64)
    assert answers(jobs, token.read_text())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert not (running.out.parent / ".ray").exists()
    assert token.read_text() not in running.log.read_text()


def test_the_service_is_ready_and_the_doctor_finds_nothing_broken(running: Up) -> None:
    with Client(running.places["page"]) as client:
        wait_for(lambda: client.ready()["status"] == "ready", 30)
    found = {}

    def healthy() -> bool:  # the dashboard lists a new head's node some seconds late, and the doctor says so
        done = recur("doctor", "--out", str(running.out), "--json", env=running.environment)
        found.update({one["name"]: one["level"] for one in json.loads(done.stdout)["findings"]})
        return done.returncode == 0

    wait_for(healthy, 60)
    assert (found["Ray"], found["Ray's token"], found["service"], found["disk"]) == ("ok", "ok", "ok", "ok")
    assert found["nodes"] != "bad"


def test_a_second_up_on_the_same_folder_is_refused(running: Up) -> None:
    done = recur("up", "--port", "0", "--out", str(running.out))
    assert done.returncode == 2
    assert "another `recur up`" in done.stderr


def test_three_seeds_by_curl_end_in_the_numbers_of_sweep_json(running: Up) -> None:
    body = json.dumps({"profile": "smoke", "overrides": OVERRIDES, "seeds": [1, 2, 3], "name": "by curl"})
    curl = ["curl", "-sS", "--fail-with-body", "-X", "POST", f"{running.places['api']}/sweeps", "-d", body]
    curl += ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {running.places['key']}"]
    answer = subprocess.run(curl, capture_output=True, text=True, check=True)
    sweep = json.loads(answer.stdout)["id"]
    with Client(running.places["page"], running.places["key"]) as client:
        ended = watch(client, sweep)
        assert ended.state == "SUCCEEDED", ended
        wait_for(lambda: client.sweep(sweep).reported_at, 60)
    written = read_sweep(running.out / sweep / "sweep.json")
    assert [seed.val_bpb.sliding for seed in ended.seeds] == [seed.val_bpb.sliding for seed in written.seeds]
    assert ended.statistics.n == 3
    assert ended.statistics.mean_val_bpb == written.mean_val_bpb
    assert ended.statistics.sd_val_bpb == written.std_val_bpb
    assert [seed.total_bytes for seed in ended.seeds] == [
        (running.out / sweep / f"seed_{seed.seed}" / "a1" / "artifact.ptz").stat().st_size for seed in ended.seeds
    ]


def test_a_head_that_dies_comes_back_with_the_same_ports_and_token_while_the_service_goes_on(running: Up) -> None:
    service, token = running.service(), Path(running.places["ray_token_file"]).read_text()
    gcs = next(pid for pid in running.rays() if words_of(pid)[0].endswith("gcs_server"))
    os.kill(gcs, signal.SIGKILL)
    wait_for(lambda: not answers(f"{running.places['dashboard']}/api/jobs/", token), 30)
    with Client(running.places["page"]) as client:
        client.sweeps(limit=1)
        wait_for(lambda: client.ready()["status"] == "degraded", 60)
        wait_for(lambda: answers(f"{running.places['dashboard']}/api/jobs/", token), 90)
        wait_for(lambda: client.ready()["status"] == "ready", 60)
    assert running.service() == service
    assert "the service goes on without it" in running.log.read_text()


def test_a_service_that_dies_is_started_again(running: Up) -> None:
    before = running.service()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: running.service() not in (0, before), 30)
    wait_for(lambda: answers(f"{running.places['page']}/healthz"), 30)


def test_ctrl_c_with_a_running_job_ends_all_in_ten_seconds_and_the_next_up_takes_its_sweep_up_again(running: Up) -> None:
    overrides = {**OVERRIDES, "train.steps": 1_000_000, "train.val_every": 0}
    with Client(running.places["page"], running.places["key"]) as client:
        sweep = client.submit(SweepSubmission(profile="smoke", seeds=[5], overrides=overrides)).sweep.id
        wait_for(lambda: client.sweep(sweep).seeds[0].phase == "train", 120)
    before, temp = descendants(running.process.pid), running.temp()
    assert len(before) > 20
    assert temp.is_dir()
    assert running.end(signal.SIGINT) < END_S
    assert [pid for pid in before if Path(f"/proc/{pid}").exists()] == []
    assert named(str(temp)) == []
    assert not temp.exists()
    assert sorted(path.name for path in (running.out / ".up").iterdir()) == ["lock"]
    with up(running.out, RECUR_API_TICK_S="0.5") as again:
        assert again.places["key"] is None
        with Client(again.places["page"]) as client:
            wait_for(lambda: client.sweep(sweep).seeds[0].attempt == 2, 90)
            assert client.cancel(sweep).state in ("CANCELLING", "CANCELLED")
            assert watch(client, sweep).state == "CANCELLED"
        assert again.end(signal.SIGTERM) < END_S


def test_with_authentication_off_ray_asks_for_no_token(folder: Path) -> None:
    with up(folder / "off", RAY_AUTH_MODE="disabled", RECUR_API_RECONCILE="false") as open_:
        assert open_.places["ray_token_file"] is None
        assert answers(f"{open_.places['dashboard']}/api/jobs/")
        found = recur("doctor", "--out", str(open_.out), "--json", env={**open_.environment, "RAY_AUTH_MODE": "disabled"})
        levels = {one["name"]: one["level"] for one in json.loads(found.stdout)["findings"]}
        assert (levels["Ray"], levels["Ray's token"]) == ("ok", "note"), found.stdout
        with up(folder / "beside", "--dashboard", open_.places["dashboard"], RAY_AUTH_MODE="disabled") as second:
            assert second.places["dashboard"] == open_.places["dashboard"]
            with Client(second.places["page"]) as client:
                wait_for(lambda: client.ready()["status"] == "ready", 30)
            assert second.end(signal.SIGINT) < END_S
        assert answers(f"{open_.places['dashboard']}/api/jobs/")


def test_a_given_token_is_the_head_s(folder: Path) -> None:
    with up(folder / "given", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="ab" * 32, RECUR_API_RECONCILE="false") as given:
        assert answers(f"{given.places['dashboard']}/api/jobs/", "ab" * 32)


def test_wrong_settings_end_before_anything_is_started(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = recur("up", "--port", str(taken.getsockname()[1]), "--out", str(folder / "never"))
    assert (done.returncode, "cannot be listened on" in done.stderr) == (2, True)
    refused = recur("up", "--out", str(folder / "never"), env={"RECUR_API_TICK_S": "-1"})
    assert (refused.returncode, "tick_s" in refused.stderr) == (2, True)
    assert not (folder / "never").exists()
