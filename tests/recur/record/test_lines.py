"""Log lines have the form of the published logs."""

from __future__ import annotations

import re

from recur.record.lines import LABELS, event_line, hyperparameters, score_line, size_lines


def test_events_of_training_read_like_the_published_logs() -> None:
    step = {"step": 500, "loss": 2.99891, "train_s": 49.8, "tokens_per_s": 7900193.4}
    assert event_line("step", step, 20000) == "500/20000 train_loss: 2.9989 train_time: 0.8m tok/s: 7900193"
    val = {"step": 0, "val_loss": 8.31686, "val_bpb": 3.61441}
    assert event_line("val", val, 20000) == "0/20000 val_loss: 8.3169 val_bpb: 3.6144"
    stop = {"step": 5415, "train_s": 590.026, "reason": "wallclock"}
    assert event_line("stop", stop, 20000) == "stopping_early: wallclock_cap train_time: 590026ms step: 5415/20000"
    assert event_line("stop", {**stop, "reason": "steps"}, 5415) == "stopping: last_step train_time: 590026ms step: 5415/5415"
    recurrence = event_line("recurrence", {"step": 3000, "virtual_layers": "0,1,2"}, 20000)
    assert recurrence == "recurrence:activated at step 3000, virtual_layers=[0, 1, 2]"
    assert event_line("warmup", {"steps": 20, "state_sha256": "ab"}, 20000) == "warmup_step: 20/20"
    assert event_line("phase", {"phase": "train"}, 20000) is None


def test_scores_and_sizes_read_like_the_published_logs() -> None:
    theirs = "final_int6_sliding_window val_loss:2.51448479 val_bpb:1.09276612 eval_time:76466ms"
    assert score_line("sliding", LABELS["prune"], 2.51448479, 1.09276612, 76.466) == theirs
    trained = score_line("trained", LABELS["solve"], 2.52481763, 1.09725666, 2.017)
    assert trained == "pre-quantization post-ema val_loss:2.52481763 val_bpb:1.09725666 eval_time:2017ms"
    assert size_lines("int6+brotli", 15876108, 83566) == [
        "Code size: 83566 bytes",
        "Serialized model int6+brotli: 15876108 bytes",
        "Total submission size int6+brotli: 15959674 bytes",
    ]


def test_hyperparameters_are_sorted_and_carry_dotted_names() -> None:
    lines = hyperparameters({"seed": 1, "model": {"width": 512, "block": "transformer"}})
    assert lines == ["  model.block: transformer", "  model.width: 512", "  seed: 1"]
    assert all(re.fullmatch(r"  [\w.]+: .*", line) for line in lines)
