"""The sign of life."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from recur.record.attempt import AttemptDir, Heartbeat


def _wait(condition: threading.Event) -> None:
    assert condition.wait(10.0)


def test_no_heartbeat_reads_as_none(tmp_path: Path) -> None:
    assert AttemptDir(tmp_path, 42, 1).read_heartbeat() is None


def test_a_heartbeat_says_when_who_and_what(tmp_path: Path) -> None:
    attempt = AttemptDir(tmp_path, 42, 1, lambda: 123.5)
    attempt.heartbeat({"phase": "train", "step": 7, "loss": float("inf")})
    assert attempt.read_heartbeat() == {"at": 123.5, "pid": os.getpid(), "phase": "train", "step": 7, "loss": None}


def test_the_thread_beats_until_it_is_stopped(tmp_path: Path) -> None:
    enough = threading.Event()
    beats: list[float] = []

    def clock() -> float:
        beats.append(time.time())
        if len(beats) >= 4:
            enough.set()
        return beats[-1]

    attempt = AttemptDir(tmp_path, 42, 1, clock)
    with Heartbeat(attempt, interval_s=0.01) as heart:
        heart.update(step=1)
        _wait(enough)
        heart.update(step=2, phase="fit")
    seen = attempt.read_heartbeat()
    assert seen is not None
    assert (seen["step"], seen["phase"]) == (2, "fit")
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count


def test_a_reader_never_sees_half_a_heartbeat(tmp_path: Path) -> None:
    attempt = AttemptDir(tmp_path, 42, 1)
    with Heartbeat(attempt, interval_s=0.0005) as heart:
        for i in range(300):
            heart.update(step=i, filler="x" * (i * 37 % 5000))
            seen = attempt.read_heartbeat()
            assert seen is not None
            assert "pid" in seen


def test_a_beat_on_demand_is_on_disk_at_once(tmp_path: Path) -> None:
    attempt = AttemptDir(tmp_path, 42, 1)
    with Heartbeat(attempt, interval_s=60.0) as heart:
        heart.beat(step=9)
        assert json.loads(attempt.path("heartbeat.json").read_text())["step"] == 9


def test_a_disk_that_refuses_is_counted_and_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "seed_42").write_text("in the way")
    heart = Heartbeat(AttemptDir(tmp_path, 42, 1), interval_s=60.0)
    with heart:
        pass
    assert heart.failures == 2
    assert "heartbeat_failed seed=42" in caplog.text
    (tmp_path / "seed_42").unlink()
    heart.beat(step=1)
    assert heart.failures == 2
