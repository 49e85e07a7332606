"""Logs of the four published forms and their variants are read into the same fields."""

from __future__ import annotations

import pytest

from recur.record.check.logs import Kind, SeedLog, read_log
from recur.record.check.read import Text
from tests.recur.record.check.folders import GOLDEN, log_text


def parsed(text: str, name: str = "train_seed42.log") -> SeedLog:
    return read_log(Text(name=name, text=text, size_bytes=len(text)))


def golden(pr: int, seed: int) -> SeedLog:
    name = f"train_seed{seed}.log"
    return parsed((GOLDEN / f"pr{pr}" / name).read_text(), name)


@pytest.mark.parametrize(
    ("pr", "seed", "bpb", "line", "total", "code", "model", "steps", "train_ms"),
    [
        (1019, 42, 1.11437394, 84, 15984850, 101850, 15883000, 6922, 600058),
        (1334, 42, 1.08938974, 133, 15999533, 24584, 15974949, 5453, 590026),
        (1394, 1, 1.08553523, 193, 15987547, 15516, 15972031, 4988, 588138),
        (1421, 2024, 1.09255323, 133, 15948766, 83566, 15865200, 5420, 590034),
    ],
)
def test_published_logs_give_score_bytes_steps_and_clock(
    pr: int, seed: int, bpb: float, line: int, total: int, code: int, model: int, steps: int, train_ms: int
) -> None:
    log = golden(pr, seed)
    score = log.score(Kind.SLIDING)
    assert score is not None and (score.val_bpb.value, score.val_bpb.line) == (bpb, line)
    values = [v.value if v else None for v in (log.total_bytes, log.code_bytes, log.model_bytes, log.steps, log.train_ms)]
    assert values == [total, code, model, steps, train_ms]
    assert log.seed_number == seed and log.runs == 1


def test_eight_digits_win_over_four_and_keep_the_time_of_the_rounded_line() -> None:
    score = golden(1019, 42).score(Kind.SLIDING)
    assert score is not None and score.val_bpb.decimals == 8
    assert score.eval_ms is not None and score.eval_ms.value == 77178


def test_calibration_that_reads_data_and_text_made_without_data_are_apart() -> None:
    reads, makes = golden(1421, 42), golden(1019, 42)
    assert reads.calibration_s is not None and (reads.calibration_s.value, reads.generated_s) == (9.8, None)
    assert makes.generated_s is not None and (makes.generated_s.value, makes.calibration_s) == (198.3, None)


def test_ttt_that_ran_is_told_from_ttt_that_was_only_configured() -> None:
    assert golden(1334, 42).ttt_ran
    assert not golden(1334, 314).ttt_ran and "ttt_lr" in golden(1334, 314).settings


def test_settings_are_read_from_a_block_and_from_a_header() -> None:
    assert golden(1421, 42).settings["ema_decay"] == "0.9965"
    header = golden(1019, 42)
    assert (header.settings["seed"], header.settings["matrix_lr"]) == ("42", "0.025")
    dotted = parsed("Hyperparameters:\n  model.width: 64\n  seed: 3\nval_bytes: 1000\n")
    assert (dotted.setting("width"), dotted.scored_bytes) == ("64", 1000)


def test_the_challenges_text_is_known_by_its_bytes() -> None:
    for pr, seed in ((1019, 42), (1334, 42), (1394, 1), (1421, 42)):
        assert golden(pr, seed).scored_bytes == pytest.approx(151.075e6, rel=3e-4)


def test_the_last_scored_run_of_several_counts() -> None:
    both = log_text(1, 1.2, 10, 100) + log_text(2, 1.1, 10, 90) + "Hyperparameters:\n  seed: 3\n1/20000 train_loss: 8.0\n"
    log = parsed(both)
    score = log.score(Kind.SLIDING)
    assert log.runs == 3 and log.seed_number == 2 and score is not None and score.val_bpb.value == 1.1


@pytest.mark.parametrize(
    "line",
    [
        "final_int6_sliding_window val_loss:2.5 val_bpb:1.1 eval_time:5ms",
        "final_int6_sliding_window_exact val_loss: 2.5 val_bpb: 1.1",
        "quantized_sliding_window val_loss:2.50000000 val_bpb:1.10000000",
        "final_grid_sliding_window val_loss:2.5 val_bpb:1.1 stride:64 eval_time:77178ms\r",
    ],
)
def test_spellings_of_the_sliding_score(line: str) -> None:
    score = parsed(line).score(Kind.SLIDING)
    assert score is not None and (score.val_loss.value, score.val_bpb.value) == (2.5, 1.1)


def test_validation_during_training_is_no_final_score() -> None:
    log = parsed("4000/20000 val_loss: 2.6 val_bpb: 1.1\nstep:5000/20000 val_loss:2.5 val_bpb:1.0 train_time:9ms\n")
    assert log.finals == () and log.steps is not None and log.steps.value == 5000


def test_a_log_of_another_format_gives_nothing() -> None:
    log = parsed("epoch 1 accuracy 0.5\n" * 100, "other.log")
    assert (log.finals, log.total_bytes, log.seed_number) == ((), None, None)


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("W0406 15:43:32.176000 48228 torch", (4, 6)),
        ("Sun Apr  5 20:00:43 2026", (2026, 4, 5)),
        ("[2026-04-07 10:00:00] start", (2026, 4, 7)),
        ("no date", ()),
    ],
)
def test_dates_of_a_log(line: str, written: tuple[int, ...]) -> None:
    assert parsed(line).written == written
