"""How a sweep ends: its exit code, and what a signal does to the loop."""

from __future__ import annotations

import os
import signal
import time

import pytest

from cluster.driver import Interrupt, exit_code, loop_complete
from cluster.seats import Seat
from recur.record.result import State


def seats(*states: State, bad_input: bool = False) -> list[Seat]:
    return [Seat(seed=i, state=state, bad_input=bad_input) for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "bad_input", "code"),
    [
        ([State.SUCCEEDED, State.SUCCEEDED], False, 0),
        ([State.SUCCEEDED, State.FAILED], False, 1),
        ([State.SUCCEEDED, State.FAILED], True, 2),
        ([State.SUCCEEDED, State.INVALID], False, 1),
        ([State.FAILED, State.LOST], True, 1),
    ],
)
def test_the_exit_code_says_whose_fault_it_was(states: list[State], bad_input: bool, code: int) -> None:
    assert exit_code(seats(*states, bad_input=bad_input)) == code


def test_a_sweep_is_complete_when_a_resume_would_run_nothing() -> None:
    assert loop_complete(seats(State.SUCCEEDED, State.INVALID))
    assert not loop_complete(seats(State.SUCCEEDED, State.CANCELLED))


def test_a_signal_ends_the_sleep_and_the_former_handler_comes_back() -> None:
    before, interrupt = signal.getsignal(signal.SIGTERM), Interrupt()
    with interrupt.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        begun = time.monotonic()
        interrupt.sleep(30.0)
        assert time.monotonic() - begun < 5
        assert interrupt.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_ends_the_wait() -> None:
    interrupt = Interrupt()
    with interrupt.watching():
        os.kill(os.getpid(), signal.SIGINT)
        interrupt.sleep(0.1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
