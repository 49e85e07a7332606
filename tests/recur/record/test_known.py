"""Published lines agree with the published facts."""

from __future__ import annotations

import pytest

from recur.record.known import known_records
from tests.recur.record.samples import facts


def test_lines_are_sorted_best_first() -> None:
    assert [r.pr for r in known_records()] == [1394, 1334, 1421, 1019]


def test_every_total_is_model_plus_code_and_below_the_cap() -> None:
    for record in known_records():
        for seed in record.seeds:
            assert seed.total_bytes == seed.model_bytes + record.code_bytes
            assert seed.total_bytes <= record.cap_bytes


def test_means_of_the_seeds_are_the_published_means() -> None:
    for record in known_records():
        # PR 1394 publishes the mean of scores that it had rounded to five decimals
        rounding = 1e-5 if record.pr == 1394 else 5.01e-9
        assert record.val_bpb.mean == pytest.approx(record.published_val_bpb, abs=rounding)


def test_deviations_are_the_published_ones_but_for_the_reference_run() -> None:
    for record in known_records():
        if record.pr != 1421:
            places = 5e-5 if record.pr == 1394 else 5e-9
            assert record.val_bpb.sd == pytest.approx(record.published_std, abs=places * 1.01)
    reference = next(r for r in known_records() if r.pr == 1421)
    assert reference.val_bpb.sd == pytest.approx(0.0003343586517997622, abs=1e-15)
    assert reference.published_std == 0.0004


def test_the_reference_line_is_the_three_logs() -> None:
    reference = next(r for r in known_records() if r.pr == 1421)
    runs = facts()["runs"]
    assert [str(s.seed) for s in reference.seeds] == list(runs)
    for seed in reference.seeds:
        run = runs[str(seed.seed)]
        assert seed.val_bpb == run["int6_sliding"]["val_bpb"]
        assert seed.val_loss == run["int6_sliding"]["val_loss"]
        assert seed.trained_val_bpb == run["post_ema"]["val_bpb"]
        assert seed.roundtrip_val_bpb == run["int6_roundtrip"]["val_bpb"]
        assert (seed.total_bytes, seed.steps) == (run["total_bytes"], run["stop"]["step"])
