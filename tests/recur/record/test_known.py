"""Published lines agree with the published facts."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from recur.errors import ArtifactError, InputError
from recur.record.codec import from_json
from recur.record.known import KnownRecord, bytes_per_token_of, find_known, known_lines, known_records, pr_number
from tests.recur.record.samples import facts


def test_lines_are_sorted_best_first() -> None:
    assert [r.pr for r in known_records()] == [1394, 1334, 1421, 1019]
    assert all(a.score_bpb <= b.score_bpb for a, b in pairwise(known_lines()))


def test_the_drawn_lines_are_those_of_which_every_seed_loss_and_byte_is_known() -> None:
    assert known_records() == tuple(r for r in known_lines() if r.is_complete)
    assert {549, 1493, 1855} <= {r.pr for r in known_lines() if r.seeds and not r.is_complete}


def test_every_total_is_model_plus_code_and_below_the_cap() -> None:
    for record in known_records():
        for seed in record.seeds:
            assert seed.total_bytes is not None and seed.model_bytes is not None
            assert seed.total_bytes == seed.model_bytes + (record.code_bytes or 0)
            assert seed.total_bytes <= (record.cap_bytes or 0)


def test_means_of_the_seeds_are_the_published_means() -> None:
    for record in [r for r in known_lines() if r.seeds and r.published_val_bpb is not None]:
        # PR 1394 publishes the mean of scores that it had rounded to five decimals; PR 1493 five decimals only
        rounding = 1e-5 if record.pr in (1394, 1493) else 5.01e-9
        assert record.val_bpb.mean == pytest.approx(record.published_val_bpb, abs=rounding)


def test_a_line_with_seeds_and_means_of_the_logs_gives_the_same_score_twice() -> None:
    both = [r for r in known_lines() if r.seeds and r.means and r.means.final_bpb is not None]
    assert len(both) >= 4
    for record in both:
        assert record.means is not None
        assert record.val_bpb.mean == pytest.approx(record.means.final_bpb, abs=5.1e-6)


def test_deviations_are_the_published_ones_but_for_the_reference_run() -> None:
    for record in known_records():
        if record.pr != 1421:
            places = 5e-5 if record.pr == 1394 else 5e-9
            assert record.val_bpb.sd == pytest.approx(record.published_std, abs=places * 1.01)
    reference = find_known("1421")
    assert reference.val_bpb.sd == pytest.approx(0.0003343586517997622, abs=1e-15)
    assert reference.published_std == 0.0004


def test_the_reference_line_is_the_three_logs() -> None:
    reference = find_known("1421")
    runs = facts()["runs"]
    assert [str(s.seed) for s in reference.seeds] == list(runs)
    for seed in reference.seeds:
        run = runs[str(seed.seed)]
        assert seed.val_bpb == run["int6_sliding"]["val_bpb"]
        assert seed.val_loss == run["int6_sliding"]["val_loss"]
        assert seed.trained_val_bpb == run["post_ema"]["val_bpb"]
        assert seed.roundtrip_val_bpb == run["int6_roundtrip"]["val_bpb"]
        assert (seed.total_bytes, seed.steps) == (run["total_bytes"], run["stop"]["step"])


def test_every_line_is_unique_has_a_score_and_says_where_it_is_from() -> None:
    lines = known_lines()
    assert len({r.pr for r in lines}) == len(lines) > 35
    for record in lines:
        assert 1.0 < record.score_bpb < 1.2
        assert record.source == f"https://github.com/openai/parameter-golf/pull/{record.pr}"
        assert record.status in ("merged", "open", "closed", "")
        assert re.fullmatch(r"|2026-0[345]-\d\d", record.date)


def test_stages_of_a_line_follow_each_other() -> None:
    for record in known_lines():
        means = record.means
        if means is None or means.trained_bpb is None or means.roundtrip_bpb is None:
            continue
        tax = means.roundtrip_bpb - means.trained_bpb
        assert 0.008 < tax < 0.0145, record.label
        if means.sliding_bpb is not None and means.final_bpb is not None:
            assert means.final_bpb < means.sliding_bpb < means.roundtrip_bpb


def test_bytes_per_token_are_those_of_the_tokenizers_complete_line() -> None:
    found = [bytes_per_token_of(f"fineweb_{vocab}_bpe") for vocab in (1024, 4096, 8192)]
    assert all(a is not None and b is not None and a < b for a, b in pairwise(found))
    # two lines of one tokenizer imply the same number
    older = find_known("549")
    assert older.means is not None and older.means.val_loss is not None
    assert older.means.val_loss / older.score_bpb == pytest.approx(1.88217853 / 1.11473509, rel=1e-7)
    assert bytes_per_token_of("none such") is None


@pytest.mark.parametrize("name", ["1334", "#1334", "pr1334", "PR 1334", "pr #1334"])
def test_a_line_is_found_by_its_number_in_any_dress(name: str) -> None:
    assert find_known(name).pr == 1334


def test_an_unknown_line_is_refused_with_its_neighbours() -> None:
    with pytest.raises(InputError, match=r"near: #1334, #1331, #1344"):
        find_known("#1335")
    with pytest.raises(InputError, match=r"known: #549, "):
        find_known("best")
    assert pr_number("smoke-1334") is None


def test_a_line_without_seeds_has_a_score_but_no_spread() -> None:
    record = find_known("1413")
    assert (record.score_bpb, record.scoring) == (1.08279, "ttt")
    with pytest.raises(ValueError, match="without seeds"):
        record.val_bpb
    with pytest.raises(ValueError, match="no score"):
        KnownRecord(pr=1, name="empty", source="nowhere").score_bpb


def test_an_unknown_field_in_a_line_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="val_bbp"):
        from_json(KnownRecord, {"pr": 1, "name": "x", "source": "y", "val_bbp": 1.0})
