"""How a sweep ends: its exit code, and what a signal does to the loop."""

from __future__ import annotations

import io
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cluster.driver import Ended, Interrupt, exit_code, loop_complete, run_sweeps, worst_code
from cluster.request import Prepared
from cluster.seats import Seat
from cluster.storage import sole_driver
from recur.errors import StorageError
from recur.record.result import State, summarise
from tests.cluster.kit import sweep_plan
from tests.recur.record.samples import finished


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


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 0], 0), ([0, 2], 2), ([2, 1], 1), ([1, 0], 1), ([1, 130], 130), ([143, 2], 143), ([], 0)]
)
def test_of_two_sweeps_the_worse_exit_code_counts(codes: list[int], worst: int) -> None:
    assert worst_code(codes) == worst


class Driven:
    """Two sweeps without jobs: what each of them gives, and a signal while one of them runs."""

    def __init__(self, out: Path, *codes: int, signal_in: str | None = None, complete: bool = True) -> None:
        self.codes, self.signal_in, self.complete = list(codes), signal_in, complete
        self.names: list[str] = []
        self.text = io.StringIO()
        names = ("mine", "mine-beside")[: len(codes)]
        plans = [replace(plan, template=replace(plan.template, sweep=n)) for n in names for plan in (sweep_plan(out, 42),)]
        self.sweeps = [Prepared(plan=plan, fingerprint="f", resuming=False) for plan in plans]

    def __call__(self, prepared: Prepared, interrupt: Interrupt, go_on: str) -> Ended:
        name = prepared.plan.sweep
        self.names.append(name)
        if name == self.signal_in:
            os.kill(os.getpid(), signal.SIGINT)
            interrupt.sleep(5.0)
        result = summarise(name, f"profile of {name}", "f", [finished(42)])
        return Ended(code=self.codes[len(self.names) - 1], result=result, complete=self.complete)

    def run(self) -> int:
        return run_sweeps(self.sweeps, self, Console(file=self.text, width=100), "--resume mine --beside auto")


def test_one_sweep_has_no_table_beside_it(tmp_path: Path) -> None:
    driven = Driven(tmp_path, 1)
    assert (driven.run(), driven.names, driven.text.getvalue()) == (1, ["mine"], "")


def test_a_second_sweep_follows_the_first_and_both_are_compared(tmp_path: Path) -> None:
    driven = Driven(tmp_path, 1, 0)
    assert (driven.run(), driven.names) == (1, ["mine", "mine-beside"])
    assert "profile of mine beside profile of mine-beside" in driven.text.getvalue()
    assert "go on with" not in driven.text.getvalue()


@pytest.mark.parametrize("complete", [False, True])
def test_ctrl_c_in_the_first_sweep_leaves_the_second_unstarted(tmp_path: Path, complete: bool) -> None:
    driven = Driven(tmp_path, 0, 0, signal_in="mine", complete=complete)
    assert (driven.run(), driven.names) == (130, ["mine"])
    assert driven.text.getvalue().count("go on with: --resume mine --beside auto") == int(complete)  # else the sweep says it


def test_ctrl_c_in_the_second_sweep_shows_what_there_is(tmp_path: Path) -> None:
    driven = Driven(tmp_path, 0, 1, signal_in="mine-beside")
    assert (driven.run(), driven.names) == (130, ["mine", "mine-beside"])
    assert "difference" in driven.text.getvalue()


def test_both_sweeps_are_held_while_either_runs(tmp_path: Path) -> None:
    driven = Driven(tmp_path, 0, 0)
    with sole_driver(driven.sweeps[1].plan.root), pytest.raises(StorageError, match="driven by another process"):
        driven.run()
    assert driven.names == []
