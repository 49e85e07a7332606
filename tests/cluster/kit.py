"""What the tests of the cluster share: the smallest recipe that has every mechanism, seats, and a real head with free ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from cluster.seats import SweepPlan
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.codec import to_json
from recur.record.result import SeedResult, State
from recur.seedspec import SeedSpec
from tests.recipes import TINY, tiny_recipe

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("cluster.workers=2", "train.peak_tflops=1.0", "train.log_every=1")
"""On top of `tests.recipes.TINY`: two ranks, a step event each step, no measurement of the machine."""


def set_flags(*overrides: str) -> list[str]:
    """The flags of a command line for `tests.recipes.TINY` with two workers; later overrides win."""
    return ["--profile", "smoke", *(part for value in (*TINY, *WORKERS, *overrides) for part in ("--set", value))]


def sweep_plan(out: Path, *seeds: int, slots: int = 1) -> SweepPlan:
    """A plan that no real data stands behind."""
    template = SeedSpec(sweep="swp", seed=0, attempt=0, recipe=tiny_recipe(), dataset_root=out / "data", out=out)
    return SweepPlan(template=template, seeds=seeds, slots=slots, runtime_env={})


def leave_result(attempt: AttemptDir, state: State = State.SUCCEEDED) -> SeedResult:
    """What a job leaves as its last act (a result without an artifact)."""
    result = SeedResult(seed=attempt.seed, attempt=attempt.attempt, state=state, steps=3)
    write_json_atomic(attempt.create().path("result.json"), to_json(result))
    return result


def wait_for(what: Callable[[], object], timeout_s: float, *, every_s: float = 0.2) -> object:
    """The first true value of ``what``; AssertionError after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """This environment without Ray's variables, with another home, our Python first on the PATH, and ``extra``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    own = {"HOME": str(home), "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    return {**kept, **own, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **extra}


def script(*arguments: str) -> list[str]:
    """A command line of this project's Python."""
    return [sys.executable, *arguments]


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder with a short name: Ray's sockets lie in it, and a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rc", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Head:
    """A running `ray start --head` of our own."""

    dashboard: str
    metrics: str
    gcs: str
    home: Path
    environment: Mapping[str, str]
    end: Callable[[], None]

    def get(self, path: str) -> requests.Response:
        """GET from the dashboard."""
        return requests.get(f"{self.dashboard}{path}", timeout=20)


@contextmanager
def ray_head(*, cpus: int, gpus: int = 0, ports: Sequence[int] = ()) -> Iterator[Head]:
    """A head on ports of its own or on those given, in a home of its own; its processes end with it."""
    with short_folder() as home:
        ports = ports or free_ports(6)
        names = ["port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"]
        names += ["metrics-export-port", "ray-client-server-port"]
        flags = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
        flags += ["--min-worker-port=0", "--max-worker-port=0", f"--temp-dir={home}", "--disable-usage-stats", "--block"]
        flags += [f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--object-store-memory=200000000"]
        environment = clean_environment(home, RAY_AUTH_MODE="disabled")
        with (home / "head.log").open("wb") as log:
            ray = str(Path(sys.executable).with_name("ray"))
            head = subprocess.Popen(
                [ray, "start", "--head", *flags], env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
            )
            dashboard = f"http://127.0.0.1:{ports[1]}"
            try:
                wait_for(lambda: answers(f"{dashboard}/api/jobs/") or head.poll() is not None, 60)
                assert head.poll() is None, (home / "head.log").read_text()[-2000:]
                yield Head(
                    dashboard=dashboard,
                    metrics=f"http://127.0.0.1:{ports[4]}/metrics",
                    gcs=f"127.0.0.1:{ports[0]}",
                    home=home,
                    environment=environment,
                    end=lambda: end_group(head, str(home)),
                )
            finally:
                end_group(head, str(home))


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def end_group(process: subprocess.Popen[bytes], mark: str) -> None:
    """Pull the plug of a process that leads its own group, and see that everything that names ``mark`` has gone with it.

    (SIGTERM to `ray start --block` takes more than 20 s.)
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    wait_for(lambda: not named(mark), 30)


def named(mark: str) -> list[int]:
    """Ids of living processes whose command line names ``mark``."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in line and alive(int(folder.name)):
            found.append(int(folder.name))
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]
