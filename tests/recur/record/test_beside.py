"""Two sweeps side by side."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from recur.record.beside import compare, plain_beside
from recur.record.result import Scores, SeedResult, SweepResult, summarise
from tests.recur.record.samples import failed, finished


def scored(seed: int, sliding: float, trained: float, roundtrip: float, model_bytes: int = 1000) -> SeedResult:
    scores = Scores(trained=trained, roundtrip=roundtrip, sliding=sliding)
    return replace(finished(seed, model_bytes=model_bytes), val_bpb=scores)


def ours(*seeds: SeedResult) -> SweepResult:
    return summarise("s", "smoke_recur", "f", list(seeds))


def theirs(*seeds: SeedResult) -> SweepResult:
    return summarise("s-beside", "smoke", "f", list(seeds))


OURS = ours(scored(42, 2.0, 2.1, 2.11, 1600), scored(7, 2.2, 2.3, 2.33, 1800))
THEIRS = theirs(scored(42, 2.1, 2.1, 2.15, 1200), scored(7, 2.5, 2.4, 2.49, 1000))


def test_means_and_their_difference_are_those_by_hand() -> None:
    compared = compare(OURS, THEIRS)
    assert (compared.n, [pair.name for pair in compared.pairs]) == (2, ["42", "7"])
    assert compared.pairs[0].first.tax_bpb == pytest.approx(0.01)
    assert compared.pairs[1].other.tax_bpb == pytest.approx(0.09)
    assert compared.means.first.sliding_bpb == pytest.approx(2.1)
    assert compared.means.other.sliding_bpb == pytest.approx(2.3)
    difference = compared.difference
    assert difference.sliding_bpb == pytest.approx(-0.2)
    assert difference.tax_bpb == pytest.approx(0.02 - 0.07)
    assert (difference.total_bytes, difference.slack_bytes) == (600.0, -600.0)


def test_a_sweep_beside_itself_differs_by_nothing() -> None:
    difference = compare(OURS, OURS).difference
    assert (difference.sliding_bpb, difference.tax_bpb, difference.total_bytes, difference.slack_bytes) == (0, 0, 0, 0)


def test_the_table_has_two_rows_a_seed_the_means_and_the_difference() -> None:
    text = plain_beside(OURS, THEIRS, width=80)
    rows = [line.split() for line in text.splitlines()]
    assert ["42", "smoke_recur", "2.00000", "0.01000", "1,700", "300"] in rows
    assert ["smoke", "2.10000", "0.05000", "1,300", "700"] in rows
    assert ["mean", "n=2", "smoke_recur", "2.10000", "0.02000", "1,800", "200"] in rows
    assert ["difference", "-0.20000", "-0.05000", "+600", "-600"] in rows
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "cannot be compared" not in text


def test_means_leave_out_a_seed_that_failed_on_either_side() -> None:
    compared = compare(ours(*OURS.seeds), theirs(THEIRS.seeds[0], failed(7)))
    assert compared.n == 1
    assert compared.means.first == compared.pairs[0].first
    assert compared.pairs[1].other.sliding_bpb is None
    assert ["7", "smoke_recur", "2.20000", "0.03000", "1,900", "100"] in [
        line.split() for line in plain_beside(OURS, theirs(THEIRS.seeds[0], failed(7))).splitlines()
    ]


def test_with_no_seed_in_common_everything_is_a_dash() -> None:
    text = plain_beside(ours(failed(42)), theirs(failed(42)))
    assert text.splitlines()[-1].split() == ["difference", "-", "-", "-", "-"]
    assert "n=0" in text


def test_a_number_that_is_none_is_a_dash() -> None:
    text = plain_beside(ours(scored(42, math.nan, 2.0, 2.0)), theirs(finished(42)))
    assert "nan" not in text


def test_other_texts_or_caps_are_told() -> None:
    other = replace(THEIRS.seeds[0], scored_bytes=5, cap_bytes=7)
    notes = compare(OURS, theirs(other, THEIRS.seeds[1])).notes
    assert notes == ("the scored texts differ: scores cannot be compared", "the caps differ")
