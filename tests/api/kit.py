"""What the service's tests build on: an application on a store of its own, with keys, and seeds that end as told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.service import Context
from api.settings import Settings
from api.store import attempts, keys, sweeps
from api.store.rows import Scope
from recur.record.codec import to_json
from recur.record.result import Scores, SeedResult, State

BASE = "http://127.0.0.1"
ROOT = Path(__file__).parents[2]
PROFILE = "smoke"


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings for a test: no reconciler, no limit of rate, everything below ``folder``."""
    return Settings(**{"out": folder, "reconcile": False, "rate_per_minute": 0, "port": 0, **changes})


@dataclass(kw_only=True)
class Running:
    """An application that runs in this process, and a client for it (with the operator's rights where no key is asked for)."""

    app: FastAPI
    client: TestClient

    @property
    def ctx(self) -> Context:
        """The service's parts."""
        found: Context = self.app.state.context
        return found

    def key(self, scope: Scope = Scope.ADMIN, name: str = "test") -> str:
        """A new key's secret."""
        with self.ctx.store.write() as c:
            return keys.create(c, name, scope, now=time.time()).secret

    def bearer(self, scope: Scope = Scope.ADMIN) -> dict[str, str]:
        """Headers with a new key."""
        return {"Authorization": f"Bearer {self.key(scope)}"}

    def submit(self, **changes: Any) -> dict[str, Any]:
        """Submit a sweep; the answer's body."""
        answer = self.client.post("/v1/sweeps", json=submission(**changes))
        assert answer.status_code == 202, answer.text
        body: dict[str, Any] = answer.json()
        return body


@contextmanager
def running(
    folder: Path, *, raise_errors: bool = True, app_options: Mapping[str, Any] | None = None, **changes: Any
) -> Iterator[Running]:
    """An application below ``folder`` for as long as the block runs; ``changes`` are settings."""
    app = create_app(settings(folder, **changes), **(app_options or {}))
    with TestClient(app, base_url=BASE, raise_server_exceptions=raise_errors) as client:
        yield Running(app=app, client=client)


def submission(**changes: Any) -> dict[str, Any]:
    """The body of a small sweep."""
    return {"profile": PROFILE, "seeds": [1, 2, 3], **changes}


def result(
    seed: int, bpb: float, *, attempt: int = 1, state: State = State.SUCCEEDED, total_bytes: int = 15_900_000
) -> SeedResult:
    """A finished seed's result with one sliding score; the losses are those of 2.4 bytes a token."""
    scores = Scores(last_step=bpb + 0.05, trained=bpb + 0.04, roundtrip=bpb + 0.02, sliding=bpb)
    losses = Scores(**{name: 0.6931471805599453 * 2.4 * value for name, value in to_json(scores).items()})
    return SeedResult(
        seed=seed,
        state=state,
        attempt=attempt,
        steps=4500,
        tokens_per_s=7.9e6,
        mfu=0.41,
        mfu_peak_tflops=989.4,
        val_bpb=scores,
        val_loss=losses,
        scored_tokens=62_000_000,
        scored_bytes=151_075_000,
        model_bytes=total_bytes - 60_000,
        code_bytes=60_000,
        total_bytes=total_bytes,
        cap_bytes=16_000_000,
        slack_bytes=16_000_000 - total_bytes,
        seconds={"train": 588.2, "evaluate": 311.5},
    )


GATES = (
    {"name": "total_bytes", "value": 15_900_000, "limit": 16_000_000, "verdict": "pass", "why": "", "source": "RULES A1"},
    {"name": "train_s", "value": 588.2, "limit": 600, "verdict": "pass", "why": "", "source": "RULES A3"},
)


def advance(ctx: Context, sweep: str, seed: int, to: State, **changes: Any) -> None:
    """Move a seed's current attempt along the usual way until it is ``to``."""
    way = [State.SUBMITTING, State.SUBMITTED, State.RUNNING]
    steps = way[: way.index(to) + 1] if to in way else [*way, to] if to is not State.CANCELLED else [State.CANCELLED]
    for state in steps:
        with ctx.store.write() as c:
            row = next(row for row in attempts.current(c, sweep) if row.seed == seed)
            if row.state is state or (row.state in way and state in way and way.index(row.state) >= way.index(state)):
                continue
            given = changes if state is to else {}
            assert attempts.move(c, row, state, now=ctx.clock(), **given) is not None


def prepare(ctx: Context, sweep: str) -> None:
    """Note that a sweep's data is ready."""
    with ctx.store.write() as c:
        row = sweeps.get(c, sweep)
        assert row is not None
        sweeps.prepared(c, sweep, fingerprint="f" * 64, dataset_root="/data", note="", recipe=row.recipe, now=ctx.clock())


def finish(ctx: Context, sweep: str, scores: Mapping[int, float], *, attempt: int = 1) -> None:
    """Let seeds succeed with the given sliding scores."""
    for seed, bpb in scores.items():
        found = to_json(result(seed, bpb, attempt=attempt))
        advance(ctx, sweep, seed, State.SUCCEEDED, result=found, gates=list(GATES))


def report(ctx: Context, sweep: str, *, record_path: str | None = None, warning: str | None = None) -> None:
    """Note that the report is written."""
    with ctx.store.write() as c:
        row = sweeps.get(c, sweep)
        assert row is not None
        sweeps.reported(c, row, record_path=record_path, warning=warning, now=ctx.clock())


@dataclass(kw_only=True)
class Served:
    """A service in a process of its own, reached over a real socket."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def rss_bytes(self) -> int:
        """Resident memory of the process."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(folder: Path, **changes: Any) -> Iterator[Served]:
    """`python -m api` with its own folder and settings, from its first answer until the block ends."""
    port = free_port()
    values = settings(folder, port=port, **changes).model_dump(mode="json", exclude_none=True)
    config = folder / "service.toml"
    folder.mkdir(parents=True, exist_ok=True)
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()), encoding="utf-8")
    log = folder / "service.log"
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-m", "api", "--config", str(config)], cwd=ROOT, stdout=out, stderr=out)
    try:
        found = Served(url=f"http://127.0.0.1:{port}", process=process, log=log)
        _await_answer(found)
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=20)


def _await_answer(found: Served, timeout_s: float = 60.0) -> None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        assert found.process.poll() is None, found.log.read_text(encoding="utf-8")
        try:
            if httpx2.get(f"{found.url}/healthz", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"no answer: {found.log.read_text(encoding='utf-8')}")
