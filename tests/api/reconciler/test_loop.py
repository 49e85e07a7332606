"""The loop as a thread of a service: it wakes, it ends, and a call that hangs does not hang it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.reconciler import Done, SubprocessHelper
from api.store import StoreUnavailable
from api.store.rows import SweepRow
from cluster.deadline import Deadline
from cluster.job_client import JobsUnreachable
from recur.record.result import State
from tests.api.reconciler.kit import ROOT, Bench, quick_folder
from tests.cluster.kit import wait_for


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder, clock=time.time, tick_s=30.0)


def nudge(bench: Bench) -> None:
    before = bench.loop.health.at
    bench.loop.nudge()
    wait_for(lambda: bench.loop.health.at != before, 10, every_s=0.02)


def test_a_nudge_begins_the_next_round_and_stop_ends_the_loop_at_once(bench: Bench) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=bench.loop.run, args=(stop,))
    thread.start()
    wait_for(lambda: bench.loop.health.at, 10)
    bench.submit("swp", 1)
    for _ in range(2):
        nudge(bench)
    began = time.monotonic()
    stop.set()
    bench.loop.nudge()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < 2
    assert bench.states("swp") in ([State.SUBMITTED], [State.SUBMITTING])


def test_the_next_round_begins_when_the_helper_has_ended(bench: Bench) -> None:
    bench.helper.hangs = True
    bench.submit("swp", 1)
    stop = threading.Event()
    thread = threading.Thread(target=bench.loop.run, args=(stop,))
    thread.start()
    wait_for(lambda: bench.helper.tasks, 10)
    before = bench.loop.health.at
    bench.helper.tasks[0].done = Done(code=2, line="shard x is cut")
    wait_for(lambda: bench.states("swp") == [State.FAILED] and bench.loop.health.at != before, 10)
    stop.set()
    bench.loop.nudge()
    thread.join(5)
    assert not thread.is_alive()


def test_a_store_that_is_away_is_told_and_the_loop_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> object:
        raise StoreUnavailable("the database does not work: disk I/O error")

    monkeypatch.setattr(bench.store, "read", away)
    tick = bench.loop.tick()
    assert tick.errors == ("the database does not work: disk I/O error",)
    assert bench.loop.health.degraded == tick.errors[0]
    monkeypatch.undo()
    assert bench.loop.tick().errors == ()


def test_a_bug_that_one_attempt_meets_does_not_stop_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.submit("swp", 1, 2)
    bench.ticks(2)
    real: Callable[[str], object] = bench.stub.info

    def odd(job_id: str) -> object:
        if job_id == "swp-s1-a1":
            raise ZeroDivisionError("a bug")
        return real(job_id)

    for job in ("swp-s1-a1", "swp-s2-a1"):
        bench.stub.play(job)
    monkeypatch.setattr(bench.stub, "info", odd)
    bench.tick()
    assert bench.states("swp") == [State.SUBMITTED, State.SUCCEEDED]
    assert "ZeroDivisionError: a bug" in str(bench.loop.health.degraded)


def test_a_call_past_its_deadline_counts_as_an_outage() -> None:
    with quick_folder() as folder:
        bench = Bench(folder, call_timeout_s=0.2)
        bench.running()
        bench.stub.turn(delay_s=3.0)
        began = time.monotonic()
        tick = bench.tick(10.0)
        assert time.monotonic() - began < 2
        assert "no answer in 0.2 s" in str(tick.unreachable)
        assert bench.row("swp", 1).state is State.RUNNING


def test_where_every_call_hangs_the_next_one_is_answered_at_once() -> None:
    deadline, never = Deadline(0.05, most=2), threading.Event()
    for _ in range(2):
        with pytest.raises(JobsUnreachable, match=r"no answer in 0\.05 s"):
            deadline.call("info", lambda: never.wait(10))
    began = time.monotonic()
    with pytest.raises(JobsUnreachable, match="2 earlier calls"):
        deadline.call("info", lambda: None)
    assert time.monotonic() - began < 0.05
    never.set()
    wait_for(lambda: _answers(deadline), 5, every_s=0.02)


def test_a_call_that_never_returns_gives_its_place_back_in_the_end() -> None:
    now, never = [0.0], threading.Event()
    deadline = Deadline(0.02, most=1, forget_s=600.0, clock=lambda: now[0])
    with pytest.raises(JobsUnreachable, match="no answer"):
        deadline.call("info", lambda: never.wait(10))
    now[0] = 599.0
    with pytest.raises(JobsUnreachable, match="1 earlier calls"):
        deadline.call("info", lambda: None)
    now[0] = 600.0
    assert deadline.call("info", lambda: True)
    never.set()


def _answers(deadline: Deadline) -> bool:
    try:
        return deadline.call("info", lambda: True)
    except JobsUnreachable:
        return False


def test_an_exception_of_the_call_is_the_callers() -> None:
    with pytest.raises(KeyError):
        Deadline(1.0).call("info", lambda: dict[str, object]()["absent"])


def scripts(folder: Path, text: str) -> tuple[SubprocessHelper, SweepRow]:
    (folder / "jobs").mkdir()
    (folder / "jobs" / "prepare.py").write_text(text)
    (folder / "out" / "swp").mkdir(parents=True)
    row = SweepRow.__new__(SweepRow)
    object.__setattr__(row, "sweep", "swp")
    return SubprocessHelper(folder, folder / "out"), row


def test_the_helper_is_a_process_with_a_fixed_command_line_whose_last_line_is_kept(tmp_path: Path) -> None:
    helper, row = scripts(tmp_path, "import sys; print(sys.argv[1:]); print('value rule; remedy', file=sys.stderr); sys.exit(2)")
    task = helper.prepare(row)
    done = wait_for(task.poll, 30)
    assert (done.code, done.line) == (2, "value rule; remedy")  # type: ignore[attr-defined]
    log = (tmp_path / "out" / "swp" / "prepare.log").read_text()
    assert f"['--request', '{tmp_path}/out/swp/request.json']" in log


def test_a_helper_whose_log_is_gone_has_ended_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "gone" / "prepare.log"
    log.parent.mkdir()
    task = SubprocessHelper(tmp_path, tmp_path)._start(["-c", "raise SystemExit(3)"], log)
    shutil.rmtree(log.parent)
    done = wait_for(task.poll, 20)
    assert done == Done(code=3, line=f"{log} cannot be read: No such file or directory")


def test_a_helper_that_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    helper, row = scripts(tmp_path, text)
    task = helper.prepare(row)
    wait_for(lambda: "up" in (tmp_path / "out" / "swp" / "prepare.log").read_text(), 30)
    assert task.poll() is None
    task.kill()
    done = task.poll()
    assert done is not None
    assert done.code == -9


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_helper_does_not_outlive_a_killed_service(tmp_path: Path) -> None:
    scripts(tmp_path, "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)")
    log = tmp_path / "out" / "swp" / "prepare.log"
    code = f"""
import os, signal, time
from pathlib import Path
from types import SimpleNamespace
from api.reconciler import Done, SubprocessHelper
root, log = Path({str(tmp_path)!r}), Path({str(log)!r})
SubprocessHelper(root, root / "out").prepare(SimpleNamespace(sweep="swp"))
while not log.read_text().endswith("\\n"):
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
    service = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False
    )
    assert service.returncode == -signal.SIGKILL
    pid = int(log.read_text())
    wait_for(lambda: not _runs(pid), 5)


def _runs(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"
