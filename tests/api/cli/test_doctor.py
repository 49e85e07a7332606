"""The doctor on a healthy machine and on sick ones, each with its cure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster import diagnose
from cluster.diagnose import Finding, Level
from recur.data.dataset import Dataset
from recur.data.staging import MANIFEST
from tests.api.cli.kit import recur, served

ALIVE = {"data": {"result": {"result": [{"state": "ALIVE", "resources_total": {"CPU": 96.0, "GPU": 8.0}}]}}}


class _Dashboard(BaseHTTPRequestHandler):
    """The few answers of Ray's dashboard that the doctor reads."""

    token: str | None = None
    nodes: object = ALIVE
    is_ray = True

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization")
        allowed = self.token is None or sent == f"Bearer {self.token}"
        body = self.nodes if self.path.startswith("/api/v0/nodes") else []
        text = json.dumps(body) if self.is_ray else "<html>another server</html>"
        self.send_response(200 if allowed else 401 if sent is None else 403)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def dashboard(**answers: object) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Dashboard", (_Dashboard,), answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def test_a_healthy_machine_has_no_bad_finding(tmp_path: Path) -> None:
    with dashboard(token="t") as ray, served(tmp_path, reconcile=False) as service:
        env = {"RECUR_API_URL": service.url, "RAY_AUTH_TOKEN": "t", "HOME": str(tmp_path)}
        done = recur("doctor", "--dashboard", ray, "--out", str(tmp_path), "--json", env=env)
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert found["ok"]
    assert {one["name"] for one in found["findings"]} >= {"versions", "Ray", "Ray's token", "nodes", "disk", "data", "service"}
    assert all(one["fix"] for one in found["findings"] if one["level"] != "ok")


def test_a_sick_machine_is_exit_code_1_and_every_bad_line_has_its_cure(tmp_path: Path) -> None:
    env = {"RECUR_API_URL": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    done = recur("doctor", "--dashboard", "http://127.0.0.1:9", "--out", str(tmp_path), "--json", env=env)
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    assert {one["name"] for one in found if one["level"] == "bad"} == {"Ray", "service"}
    assert all(one["fix"] for one in found if one["level"] == "bad")
    table = recur("doctor", "--dashboard", "http://127.0.0.1:9", "--out", str(tmp_path), env=env)
    assert "recur up" in table.stdout


@pytest.mark.parametrize(("token", "kind"), [(None, "no token"), ("wrong", "a wrong token")])
def test_a_ray_that_wants_another_token_is_bad(token: str | None, kind: str) -> None:
    with dashboard(token="right") as ray:
        found = diagnose.check_ray(ray, token)
    assert levels(found) == {"Ray": Level.BAD}
    assert kind in found[0].seen
    assert "RAY_AUTH_TOKEN" in found[0].fix


def test_an_open_ray_is_told(tmp_path: Path) -> None:
    with dashboard() as ray:
        assert levels(diagnose.check_ray(ray, None)) == {"Ray": Level.OK, "Ray's token": Level.NOTE}


def test_another_server_at_the_address_is_no_ray() -> None:
    with dashboard(is_ray=False) as ray:
        found = diagnose.check_ray(ray, None)
    assert levels(found) == {"Ray": Level.BAD}
    assert "no Jobs API" in found[0].seen


@pytest.mark.parametrize(
    ("nodes", "level", "says"),
    [
        (ALIVE, Level.OK, "1 with 8 GPUs"),
        ({"data": {"result": {"result": [{"state": "ALIVE", "resources_total": {"CPU": 2.0}}]}}}, Level.NOTE, "0 GPUs"),
        ({"data": {"result": {"result": [{"state": "DEAD", "resources_total": {"CPU": 2.0}}]}}}, Level.BAD, "no node"),
        ({"result": False}, Level.BAD, "no node"),
    ],
)
def test_nodes_are_counted_with_their_gpus(nodes: object, level: Level, says: str) -> None:
    with dashboard(nodes=nodes) as ray:
        found = diagnose.check_nodes(ray, None)
    assert found.level is level
    assert says in found.seen


def test_a_full_disk_is_bad(tmp_path: Path) -> None:
    found = diagnose.check_disk(tmp_path / "not" / "yet", least_bytes=1 << 62)
    assert found.level is Level.BAD
    assert "--out" in found.fix
    assert diagnose.check_disk(tmp_path).level is Level.OK
    assert not (tmp_path / "not").exists()


def test_a_folder_below_a_file_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert diagnose.check_disk(tmp_path / "file" / "out").level is Level.BAD


def test_a_damaged_dataset_is_bad_and_a_whole_one_is_not(tmp_path: Path, tiny_dataset: Dataset) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / tiny_dataset.root.name).symlink_to(tiny_dataset.root)
    assert [one.level for one in diagnose.check_data(tmp_path)] == [Level.OK]
    broken = tmp_path / "datasets" / "broken"
    broken.mkdir()
    (broken / MANIFEST).write_text("{")
    found = diagnose.check_data(tmp_path)
    assert {one.level for one in found} == {Level.OK, Level.BAD}
    assert any("made again" in one.fix for one in found)


def test_an_old_python_and_a_missing_package_are_bad() -> None:
    assert diagnose.check_versions((3, 10))[0].level is Level.BAD
    missing = diagnose.check_versions(packages=("torch", "no-such-package"))[0]
    assert (missing.level, missing.fix) == (Level.BAD, "make setup")
    assert "no-such-package" in missing.seen


def test_a_token_file_that_others_can_read_is_bad(tmp_path: Path) -> None:
    assert diagnose.check_home(tmp_path) == []
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("t")
    token.chmod(0o644)
    assert diagnose.check_home(tmp_path)[0].fix == f"chmod 600 {token}"
    token.chmod(0o600)
    assert diagnose.check_home(tmp_path)[0].level is Level.OK


def test_the_token_is_found_where_a_ray_client_looks_and_else_where_up_keeps_it(tmp_path: Path) -> None:
    kept, named = tmp_path / "kept", tmp_path / "named"
    assert diagnose.ray_token({}, kept) is None
    kept.write_text("k\n")
    named.write_text("n")
    assert diagnose.ray_token({}, kept) == "k"
    assert diagnose.ray_token({"RAY_AUTH_TOKEN_PATH": str(named)}, kept) == "n"
    assert diagnose.ray_token({"RAY_AUTH_TOKEN": "e", "RAY_AUTH_TOKEN_PATH": str(named)}, kept) == "e"
    assert diagnose.ray_token({"RAY_AUTH_MODE": "disabled"}, kept) is None
