"""The commands as a person types them: what they print, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from api.store import keys
from api.store.rows import Scope
from jobs.cli import COMMANDS
from recur.record.result import State
from tests.api.cli.kit import Served, environment, recur, recur_process, served
from tests.api.kit import advance, finish, prepare, report
from tests.cluster.kit import ROOT


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("out"), require_keys=True) as running:
        yield running


@pytest.fixture(scope="module")
def env(service: Served) -> dict[str, str]:
    with service.ctx.store.write() as c:
        secret = keys.create(c, "me", Scope.SUBMIT, now=time.time()).secret
    return {"RECUR_API_URL": service.url, "RECUR_API_KEY": secret}


def submitted(env: dict[str, str], *words: str) -> str:
    done = recur("sweep", "submit", "smoke", "--json", *words, env=env)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def test_submit_carries_every_option(env: dict[str, str]) -> None:
    words = ("--seeds", "7,8", "--set", "train.steps=5", "--set", "evaluate.modes=['sliding']", "--name", "My try")
    done = recur("sweep", "submit", "smoke", *words, "--priority", "3", "--baseline", "#1334", "--json", env=env)
    assert done.returncode == 0, done.stderr
    sweep = json.loads(done.stdout)
    assert [seed["seed"] for seed in sweep["seeds"]] == [7, 8]
    assert sweep["overrides"] == {"train.steps": 5, "evaluate.modes": ["sliding"]}
    assert (sweep["name"], sweep["priority"], sweep["state"]) == ("My try", 3, "QUEUED")
    assert "1334" in sweep["baseline"]


def test_submit_with_one_key_twice_makes_one_sweep(env: dict[str, str]) -> None:
    assert submitted(env, "--idempotency-key", "k") == submitted(env, "--idempotency-key", "k")


def test_list_show_cancel_and_retry_print_tables(env: dict[str, str]) -> None:
    sweep = submitted(env, "--seeds", "1,2")
    listed = recur("sweep", "list", env=env)
    assert sweep in listed.stdout
    assert "0/2" in listed.stdout
    shown = recur("sweep", "show", sweep, env=env)
    assert "seed 1 waits, place" in shown.stdout
    assert "CANCELLED" in recur("sweep", "cancel", sweep, env=env).stdout
    again = recur("sweep", "retry", sweep, "--seeds", "2", env=env)
    assert "(attempt 2)" in again.stdout
    assert [done.returncode for done in (listed, shown, again)] == [0, 0, 0]


def test_list_pages_by_cursor_and_filters_by_state(env: dict[str, str]) -> None:
    for _ in range(2):
        submitted(env, "--seeds", "1")
    first = json.loads(recur("sweep", "list", "--limit", "1", "--json", env=env).stdout)
    second = json.loads(recur("sweep", "list", "--limit", "1", "--cursor", first["next"], "--json", env=env).stdout)
    assert first["sweeps"][0]["id"] != second["sweeps"][0]["id"]
    none = recur("sweep", "list", "--state", "SUCCEEDED", "--json", env=env)
    assert {line["state"] for line in json.loads(none.stdout)["sweeps"]} <= {"SUCCEEDED"}


@pytest.mark.parametrize(("state", "code"), [(State.SUCCEEDED, 0), (State.FAILED, 1)])
def test_watch_follows_to_the_end_and_its_exit_code_says_how(
    service: Served, env: dict[str, str], state: State, code: int
) -> None:
    sweep = submitted(env, "--seeds", "1")
    worker = threading.Thread(target=_run, args=(service, sweep, state))
    worker.start()
    done = recur("sweep", "watch", sweep, env=env)
    worker.join()
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{sweep} QUEUED: 1 QUEUED"
    assert f"{sweep} RUNNING: 1 RUNNING" in lines
    assert state in lines[-1] or any(state in line for line in lines[3:])


def _run(service: Served, sweep: str, state: State) -> None:
    time.sleep(1.5)
    prepare(service.ctx, sweep)
    advance(service.ctx, sweep, 1, State.RUNNING)
    service.ctx.nudge()
    time.sleep(0.5)
    if state is State.SUCCEEDED:
        finish(service.ctx, sweep, {1: 1.1})
    else:
        advance(service.ctx, sweep, 1, state, reason="it was not its day")
    report(service.ctx, sweep)
    service.ctx.nudge()


def test_watch_with_json_prints_a_line_a_change_and_at_last_the_sweep(service: Served, env: dict[str, str]) -> None:
    sweep = submitted(env, "--seeds", "1")
    worker = threading.Thread(target=_run, args=(service, sweep, State.SUCCEEDED))
    worker.start()
    done = recur("sweep", "watch", sweep, "--json", env=env)
    worker.join()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (rows[0]["state"], rows[-1]["state"]) == ("QUEUED", "SUCCEEDED")
    assert rows[-1]["id"] == sweep


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sweep", "submit", "nope"), "is not a known profile"),
        (("sweep", "submit", "smoke", "--set", "train.stepz=1"), "did you mean train.steps"),
        (("sweep", "submit", "smoke", "--set", "train.steps"), "must have the form section.key=value"),
        (("sweep", "submit", "smoke", "--set", "train.steps=2026-01-01"), "must be a number"),
        (("sweep", "submit", "smoke", "--seeds", "1,x"), "whole numbers"),
        (("sweep", "submit", "smoke", "--seeds", "99999999999"), "is refused"),
        (("sweep", "submit", "smoke", "--priority", "1000"), "less than or equal to 100"),
        (("sweep", "submit", "smoke", "--name", "x" * 81), "is refused"),
        (("sweep", "submit", "smoke", "--baseline", "nothing"), "baseline"),
        (("sweep", "show", "nope"), "there is no sweep 'nope'"),
        (("sweep", "show", "../etc"), "404"),
        (("sweep", "cancel", "nope"), "there is no sweep"),
        (("sweep", "watch", "nope"), "there is no sweep"),
        (("sweep", "list", "--state", "DANCING"), "status"),
        (("sweep", "list", "--cursor", "x"), "cursor"),
        (("sweep", "list", "--limit", "0"), "greater than or equal to 1"),
        (("sweep", "frobnicate"), "No such command"),
        (("sweep", "list", "--colour"), "No such option"),
        (("doctor", "--colour"), "No such option"),
        (("up", "--port", "70000"), "less than or equal to 65535"),
        (("up", "--config", "/nowhere.toml"), "cannot be read"),
        (("adopt",), "Missing argument"),
        (("frobnicate",), "No such command"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(env: dict[str, str], words: tuple[str, ...], says: str) -> None:
    done = recur(*words, env=env)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", [None, "recur_0000000000000000_" + "x" * 43, "ü"])
def test_a_key_that_does_not_do_is_exit_code_2(env: dict[str, str], key: str | None) -> None:
    changed = {name: value for name, value in env.items() if name != "RECUR_API_KEY"} | ({"RECUR_API_KEY": key} if key else {})
    done = recur("sweep", "list", env=changed)
    assert done.returncode == 2
    assert "key" in done.stderr.lower()
    assert key is None or key not in done.stderr


def test_no_service_is_exit_code_1_and_says_how_to_start_it() -> None:
    done = recur_process("sweep", "list", env={"RECUR_API_URL": "http://127.0.0.1:9"})
    assert done.returncode == 1
    assert "recur up" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_address_that_is_none_is_exit_code_2() -> None:
    done = recur("sweep", "list", "--url", "example.org")
    assert (done.returncode, done.stdout) == (2, "")


def test_ctrl_c_while_watching_is_exit_code_130_and_leaves_the_sweep(service: Served, env: dict[str, str]) -> None:
    sweep = submitted(env, "--seeds", "1")
    line = [sys.executable, "-m", "jobs.cli", "sweep", "watch", sweep]
    with subprocess.Popen(
        line,
        env=environment(env),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # the tests themselves may run in the background
    ) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            assert watching.wait(10) in (130, 1)
        finally:
            watching.kill()
    assert json.loads(recur("sweep", "show", sweep, "--json", env=env).stdout)["state"] == "QUEUED"


def test_listing_loads_nothing_heavy() -> None:
    code = (
        "import sys, jobs.cli, jobs.sweep, jobs.doctor\n"
        "heavy = {'torch', 'ray', 'fastapi', 'sqlalchemy', 'pandas', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_list_starts_in_less_than_a_second(env: dict[str, str]) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert recur_process("sweep", "list", env=env).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # processor time: others share the machine


@pytest.mark.parametrize("command", ["up", "doctor", "adopt", "submit"])
def test_every_command_of_the_service_has_help_and_json(command: str) -> None:
    words = ("sweep", "submit") if command == "submit" else (command,)
    helped = recur(*words, "--help")
    assert helped.returncode == 0
    assert f"Usage: recur {' '.join(words)}" in helped.stdout
    assert "--json" in helped.stdout


@pytest.mark.parametrize("command", ["sweep", "up"])
def test_a_script_runs_as_a_file_too(command: str) -> None:
    line = [sys.executable, f"jobs/{command}.py", "--help"]
    assert subprocess.run(line, env=environment(), cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_every_script_that_the_parser_names_exists() -> None:
    assert all((ROOT / "jobs" / f"{name}.py").is_file() for name in COMMANDS)
