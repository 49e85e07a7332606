"""A `recur up` in a process of its own, for tests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.processes import descendants
from tests.api.cli.kit import environment
from tests.cluster.kit import ROOT
from tests.recipes import TINY

OVERRIDES = {key: json.loads(value) for key, _, value in (text.partition("=") for text in TINY)}
"""`tests.recipes.TINY` as a request carries it."""
END_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Up:
    """A `recur up` that runs."""

    process: subprocess.Popen[str]
    places: Mapping[str, Any]
    out: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"RECUR_API_URL": self.places["page"], "RECUR_API_OUT": str(self.out)}

    def end(self, number: int) -> float:
        """Send a signal and wait; seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(30) == 0, self.log.read_text()[-2000:]
        return time.monotonic() - began

    def rays(self) -> list[int]:
        """Processes of its head."""
        return [pid for pid in descendants(self.process.pid) if pid != self.service()]

    def temp(self) -> Path:
        """Folder of its head."""
        words = [word for pid in self.rays() for word in words_of(pid) if word.startswith("--temp-dir=")]
        return Path(words[0].partition("=")[2])

    def service(self) -> int:
        found = [pid for pid in descendants(self.process.pid) if words_of(pid)[1:3] == ["-m", "api"]]
        return found[0] if found else 0


def words_of(pid: int) -> list[str]:
    """A process's command line; empty for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


@contextmanager
def up(out: Path, *words: str, **extra: str) -> Iterator[Up]:
    """`recur up --port 0 --json`, until both Ray and the service answer; ended afterwards if it still runs."""
    log = out.parent / f"{out.name}.up.log"
    with log.open("ab") as errors:
        line = [sys.executable, "-m", "jobs.cli", "up", "--port", "0", "--out", str(out), "--json", *words]
        process = subprocess.Popen(
            line, env=environment({"HOME": str(out.parent), **extra}), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        text = process.stdout.readline()
        assert text, log.read_text()[-2000:]
        yield Up(process=process, places=json.loads(text), out=out, log=log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()
