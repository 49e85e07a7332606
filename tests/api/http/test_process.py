"""Of the process: alive, ready, metrics, version, log lines, settings, keys of the command line."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.__main__ import main
from api.logs import KeyValueFormatter, pairs
from api.reconciler import Health
from api.settings import load_settings
from api.store import StoreUnavailable
from api.store.rows import Scope
from recur.errors import InputError
from recur.recipe import profile_names, source_sha256
from recur.record.known import known_lines
from recur.record.result import State
from tests.api.kit import ROOT, Running, advance, finish, prepare, running, submission


def test_the_process_is_alive_and_ready(shared: Running) -> None:
    assert shared.client.get("/healthz").json() == {"status": "ok"}
    ready = shared.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["reconciler"]) == (200, "ready", "off")


@pytest.mark.parametrize(
    ("age_s", "degraded", "status", "told"),
    [
        (1.0, None, 200, "ready"),
        (1.0, "Ray is away", 200, "degraded"),
        (3600.0, None, 503, "not ready"),
        (None, None, 503, "not ready"),
    ],
)
def test_readiness_follows_the_reconciler(
    service: Running, age_s: float | None, degraded: str | None, status: int, told: str
) -> None:
    at = None if age_s is None else service.ctx.clock() - age_s
    health = Health(at=at, degraded=degraded, slots={}, address="")
    service.ctx.reconciler = SimpleNamespace(health=health, nudge=lambda: None)  # type: ignore[assignment]
    answer = service.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"], answer.json()["degraded"]) == (status, told, degraded)


@pytest.mark.parametrize(("full", "status", "code"), [(False, 503, "store_unavailable"), (True, 507, "disk_full")])
def test_a_database_that_is_away_is_told_with_a_time_to_wait(
    service: Running, monkeypatch: pytest.MonkeyPatch, full: bool, status: int, code: str
) -> None:
    def away() -> Any:
        raise StoreUnavailable("the database does not work", full=full)

    monkeypatch.setattr(service.ctx.store, "write", away)
    answer = service.client.post("/v1/sweeps", json=submission())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert int(answer.headers["Retry-After"]) > 0
    monkeypatch.setattr(service.ctx.store, "read", away)
    assert service.client.get("/readyz").status_code == 503
    assert service.client.get("/metrics").status_code == 200


def test_a_damaged_database_is_unavailable_not_a_failure(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.submit()
        with sqlite3.connect(tmp_path / "service.sqlite") as other:
            other.execute("DROP TABLE events")
        assert service.client.post("/v1/sweeps", json=submission()).status_code == 503


def test_what_nobody_expected_is_a_problem_without_insides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, raise_errors=False) as service:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret inside")

        monkeypatch.setattr("api.service.sweep_page", broken)
        answer = service.client.get("/v1/sweeps")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["request_id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/x", 404), ("PUT", "/v1/sweeps", 405), ("GET", "/v1/sweeps/A", 422)]
)
def test_the_framework_s_refusals_are_problems(shared: Running, method: str, path: str, status: int) -> None:
    answer = shared.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["instance"] == path


def test_metrics_count_requests_seeds_and_scores(service: Running) -> None:
    sweep = service.submit(seeds=[1, 2, 3, 4])["id"]
    prepare(service.ctx, sweep)
    finish(service.ctx, sweep, {1: 1.08, 2: 1.1})
    advance(service.ctx, sweep, 3, State.FAILED, reason="x")
    service.ctx.metrics.ticked(0.02)
    service.ctx.metrics.admitted(12.0)
    service.ctx.metrics.call_failed("info")
    service.client.get("/v1/unknown/%0a")
    answer = service.client.get("/metrics")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert lines['recur_seeds{state="SUCCEEDED"}'] == "2.0"
    assert lines['recur_seeds{state="FAILED"}'] == "1.0"
    assert lines['recur_replaced_attempts{state="FAILED"}'] == "0.0"
    assert lines['recur_queue_depth{pool="cpu"}'] == "1.0"
    assert float(lines["recur_best_val_bpb"]) == 1.08
    assert float(lines["recur_mean_val_bpb"]) == pytest.approx(1.09)
    assert lines['recur_http_requests_total{method="POST",route="/v1/sweeps",status="202"}'] == "1.0"
    assert lines['recur_http_requests_total{method="GET",route="other",status="404"}'] == "1.0"
    assert lines["recur_reconcile_seconds_count"] == "1.0"
    assert lines["recur_admit_latency_seconds_sum"] == "12.0"
    assert lines['recur_ray_call_errors_total{call="info"}'] == "1.0"
    service.client.post(f"/v1/sweeps/{sweep}/retry", json={})
    assert 'recur_replaced_attempts{state="FAILED"} 1.0' in service.client.get("/metrics").text


def test_versions_profiles_and_lines_are_those_of_the_package(shared: Running) -> None:
    assert shared.client.get("/version").json()["source_sha256"] == source_sha256()
    assert [p["name"] for p in shared.client.get("/v1/profiles").json()] == profile_names()
    profile = shared.client.get("/v1/profiles/smoke").json()
    assert profile["recipe"]["profile"] == "smoke"
    assert profile["json_schema"]["properties"]
    assert shared.client.get("/v1/profiles/nope").status_code == 404
    lines = shared.client.get("/v1/records").json()
    assert [line["pr"] for line in lines] == [record.pr for record in known_lines()]
    assert all(line["source"].startswith("http") for line in lines)


def test_a_request_is_one_line_with_its_ids(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sweep = service.submit(seeds=[1])["id"]
    answer = service.client.get(f"/v1/sweeps/{sweep}/seeds/1/log", headers={"X-Request-ID": "abcdef-12345"})
    assert answer.headers["x-request-id"] == "abcdef-12345"
    line = next(r.getMessage() for r in reversed(caplog.records) if r.name == "api.logs")
    assert line.startswith(f"request method=GET path=/v1/sweeps/{sweep}/seeds/1/log status=200 ms=")
    assert f"owner=local sweep={sweep} seed=1" in line


@pytest.mark.parametrize("given", ["short", "has space in", "x" * 65, "new\nline12", ""])
def test_an_odd_request_id_is_replaced(shared: Running, given: str) -> None:
    answer = shared.client.get("/healthz", headers=[(b"X-Request-ID", given.encode())])
    assert len(answer.headers["x-request-id"]) == 32


def test_a_log_line_cannot_be_forged() -> None:
    assert pairs(a=1, b="two words", c=None, d='x"\ny=1') == 'a=1 b="two words" d="x\\"\\ny=1"'
    record = logging.LogRecord("api", logging.INFO, "", 0, "first\nsecond event=forged", None, None)
    assert "\n" not in KeyValueFormatter().format(record)


def test_settings_come_from_a_file_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "service.toml"
    file.write_text('port = 9000\nhost = "0.0.0.0"\nallowed_hosts = ["recur.example"]\n')
    monkeypatch.setenv("RECUR_API_PORT", "9001")
    found = load_settings(file)
    assert (found.port, found.host, found.allowed_hosts) == (9001, "0.0.0.0", ("recur.example",))


@pytest.mark.parametrize("text", ["port = 70000", "prot = 1", "not toml", "tick_s = 0"])
def test_a_bad_settings_file_is_one_line_and_exit_code_2(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "service.toml"
    file.write_text(text)
    with pytest.raises(InputError):
        load_settings(file)
    assert main(["--config", str(file)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "RECUR_API_REQUIRE_KEY",
            "true",
            "environment variable RECUR_API_REQUIRE_KEY is no setting; did you mean RECUR_API_REQUIRE_KEYS?",
        ),
        ("RECUR_API_ALLOWED_HOSTS", "recur.example", "RECUR_API_ALLOWED_HOSTS='recur.example' is not a JSON list; e.g."),
        ("RECUR_API_LOG_LEVEL", "foo", "log_level='FOO' is refused: input should be 'DEBUG'"),
        ("RECUR_API_RAY_DASHBOARD", "foo", "ray_dashboard='foo' is refused: must be http://host:port"),
        ("RECUR_API_RAY_DASHBOARD", "http://h:99999", "ray_dashboard='http://h:99999' is refused: port"),
        ("RECUR_API_OUT", __file__, "cannot be made a folder (File exists); give another by RECUR_API_OUT or --out"),
    ],
)
def test_a_bad_variable_is_one_line_and_exit_code_2(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("api.__main__.configure_logs", lambda _: None)
    monkeypatch.setenv(name, value)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_the_variables_of_the_command_line_and_a_small_letter_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RECUR_API_URL": "http://x", "RECUR_API_KEY": "k", "RECUR_API_LOG_LEVEL": "debug"}.items():
        monkeypatch.setenv(name, value)
    assert load_settings().log_level == "DEBUG"


def test_keys_of_a_database_that_is_not_there_make_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECUR_API_OUT", str(tmp_path / "typo"))
    for words in (["key", "list"], ["key", "revoke", "abc"]):
        assert main(words) == 2
        assert "does not exist; give the service's --out" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


@pytest.mark.service
def test_the_first_key_is_made_on_the_command_line_and_shown_once(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text(f'out = "{tmp_path}"\n')

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "api", "--config", str(file), "key", *words]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    made = command("create", "--name", "ci", "--scope", "submit")
    secret = made.stdout.strip()
    assert (made.returncode, secret.startswith("recur_")) == (0, True)
    assert secret not in command("list").stdout
    assert b"".join(path.read_bytes() for path in tmp_path.glob("service.sqlite*")).find(secret.encode()) == -1
    key_id = secret.split("_")[1]
    with running(tmp_path, require_keys=True) as service:
        headers = {"Authorization": f"Bearer {secret}"}
        assert service.client.get("/v1/sweeps", headers=headers).status_code == 200
        assert command("revoke", key_id).returncode == 0
        assert service.client.get("/v1/sweeps", headers=headers).status_code == 401
    assert f"{key_id} {Scope.SUBMIT} revoked ci" in command("list").stdout
    assert command("revoke", key_id).returncode == 2
