"""A flag set by signal handlers: never a deadlock, whenever the signal comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from cluster.signals import Flag
from tests.cluster.kit import ROOT

WAITER = """\
import signal, sys
from cluster.signals import Flag

for _ in range({rounds}):
    flag = Flag()
    signal.signal(signal.SIGTERM, lambda *_: flag.set())
    print("r", flush=True)
    while not flag.wait(0.0001):
        pass
print("end", flush=True)
"""


def test_waiting_ends_when_it_is_set_or_when_the_time_is_over() -> None:
    flag, began = Flag(), time.monotonic()
    assert not flag.wait(0.1) and time.monotonic() - began >= 0.1
    flag.set()
    assert flag.is_set() and flag.wait() and flag.wait(60)


def test_a_signal_at_any_moment_of_the_wait_ends_it() -> None:
    rounds = 300
    waiter = subprocess.Popen([sys.executable, "-c", WAITER.format(rounds=rounds)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert waiter.stdout is not None
    for _ in range(rounds):
        assert waiter.stdout.readline() == "r\n"
        os.kill(waiter.pid, signal.SIGTERM)
    assert waiter.stdout.read() == "end\n"
    assert waiter.wait(10) == 0
