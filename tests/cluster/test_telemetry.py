"""What is shown of a seed, from its heartbeat and its result."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cluster.seats import Seat, Trouble
from cluster.telemetry import Bars, Lines, SeedView, terminal_display, view
from recur.errors import StorageError
from recur.record.atomic import write_json_atomic
from recur.record.result import Phase, Scores, SeedResult, State
from tests.cluster.kit import sweep_plan


def text_console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=terminal, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_seed_that_waits_has_a_phase_of_minus_one_and_no_numbers(tmp_path: Path) -> None:
    shown = view(sweep_plan(tmp_path, 1), Seat(seed=1), 0.0)
    assert shown.gauges() == {"recur_phase": -1.0}
    assert shown.line() == "queued"


def test_training_shows_step_loss_speed_and_mfu_against_the_stated_peak(tmp_path: Path) -> None:
    plan = sweep_plan(tmp_path, 1)
    peak_flops = plan.template.recipe.train.peak_tflops * 1e12
    beat = {"at": 1.0, "phase": "train", "step": 5, "steps": 20, "loss": 3.25, "tokens_per_s": 100.0}
    write_json_atomic(plan.attempt(1, 1).path("heartbeat.json"), {**beat, "flops_per_s": 2e9})
    shown = view(plan, Seat(seed=1, state=State.RUNNING), 2.0)
    gauges = shown.gauges()
    assert gauges["recur_phase"] == 1.0
    assert gauges["recur_progress"] == 0.25
    assert gauges["recur_loss"] == 3.25
    assert gauges.get("recur_mfu") == (2e9 / peak_flops if peak_flops else None)
    assert shown.line() == "train | step 5 loss 3.2500"


def test_a_later_phase_shows_how_many_of_its_items_are_done(tmp_path: Path) -> None:
    plan = sweep_plan(tmp_path, 1)
    beat = {"at": 1.0, "phase": "quantize", "done": 3, "total": 12}
    write_json_atomic(plan.attempt(1, 1).path("heartbeat.json"), beat)
    assert view(plan, Seat(seed=1, state=State.RUNNING), 2.0).gauges() == {"recur_phase": 4.0 - 1.0, "recur_progress": 0.25}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"phase": "coffee", "step": "many", "loss": null, "done": {}, "total": []}'])
def test_a_damaged_heartbeat_shows_nothing_and_ends_nothing(text: str, tmp_path: Path) -> None:
    plan = sweep_plan(tmp_path, 1)
    plan.attempt(1, 1).create().path("heartbeat.json").write_text(text)
    assert view(plan, Seat(seed=1, state=State.RUNNING), 2.0).line() == "running"


def test_why_a_seed_waits_is_said_once(tmp_path: Path) -> None:
    console, plan = text_console(), sweep_plan(tmp_path, 1)
    display = terminal_display(console)
    for reason in (None, "no node holds it", "no node holds it", None):
        display.show([view(plan, Seat(seed=1, reason=reason), 0.0)])
    assert printed(console).splitlines() == ["seed 1 attempt 1: queued | no node holds it"]


def test_a_finished_seed_shows_the_score_and_bytes_of_its_result(tmp_path: Path) -> None:
    result = SeedResult(
        seed=1, attempt=1, state=State.SUCCEEDED, steps=9, val_bpb=Scores(last_step=2.0, sliding=1.5), total_bytes=1234
    )
    shown = view(sweep_plan(tmp_path, 1), Seat(seed=1, state=State.SUCCEEDED, result=result), 0.0)
    gauges = shown.gauges()
    assert (gauges["recur_val_bpb"], gauges["recur_total_bytes"], gauges["recur_phase"]) == (1.5, 1234.0, 7.0)
    assert shown.line() == "succeeded | val_bpb 1.5000 | 1,234 bytes"


def test_a_seed_whose_result_the_disk_refuses_says_so(tmp_path: Path) -> None:
    result = SeedResult(seed=1, attempt=1, state=State.SUCCEEDED, steps=9)
    trouble = Trouble(since=1.0, error=StorageError("x", "is full", "free space"))
    shown = view(sweep_plan(tmp_path, 1), Seat(seed=1, state=State.RUNNING, result=result, trouble=trouble), 2.0)
    assert shown.line() == "running | the disk refuses: x is full; free space"


def test_without_a_terminal_each_change_is_one_line() -> None:
    console = text_console()
    display = terminal_display(console)
    assert isinstance(display, Lines)
    training = SeedView(seed=7, attempt=1, state=State.RUNNING, phase=Phase.TRAIN)
    for shown in (SeedView(seed=7, attempt=1, state=State.QUEUED), training, training):
        display.show([shown])
    display.show([SeedView(seed=7, attempt=1, state=State.FAILED, reason="[disk] full")])
    assert printed(console).splitlines() == ["seed 7 attempt 1: train", "seed 7 attempt 1: failed | [disk] full"]


def test_in_a_terminal_every_seed_has_a_bar_with_its_phase() -> None:
    console = text_console(terminal=True)
    display = terminal_display(console)
    assert isinstance(display, Bars)
    display.show([SeedView(seed=s, attempt=1, state=State.RUNNING, phase=Phase.FIT, done_frac=0.5) for s in (1, 2)])
    display.close()
    assert "seed 1" in printed(console)
    assert "seed 2" in printed(console)
    assert "fit" in printed(console)
