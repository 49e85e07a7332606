"""The table a person reads."""

from __future__ import annotations

import math

from recur.record.table import plain_table
from tests.recur.record.samples import facts, failed, finished, reference_seed, sweep


def test_the_table_shows_every_seed_and_the_mean_with_its_deviation() -> None:
    text = plain_table(sweep(*(reference_seed(int(s), r) for s, r in facts()["runs"].items())), width=80)
    for part in ("42", "1337", "2024", "1.09211", "15,954,858", "45,142", "1.09248", "±0.00033", "15,954,433", "n=3"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_absent_values_are_dashes_and_failures_are_explained_in_one_line() -> None:
    text = plain_table(sweep(finished(), failed()))
    assert "seed 7 attempt 2 FAILED: RuntimeError: lost a node" in text
    row = next(line for line in text.splitlines() if "FAILED" in line and "attempt" not in line)
    assert row.split() == ["7", "FAILED", "-", "-", "-", "-", "-", "-", "-"]
    assert "±-" in text


def test_a_number_that_is_none_is_a_dash() -> None:
    text = plain_table(sweep(finished(sliding=math.nan)))
    assert "nan" not in text


def test_brackets_in_an_error_are_text() -> None:
    from dataclasses import replace

    text = plain_table(sweep(replace(failed(), error="shard [red]a.bin[/red] is cut")))
    assert "[red]a.bin[/red]" in text


def test_a_narrow_terminal_loses_no_digit() -> None:
    text = plain_table(sweep(finished(model_bytes=123456789)), width=60)
    assert "…" not in text
