"""One side of a comparison: from a sweep, from a published line, and when two of them are of the same text and tokenizer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recur.record.known import find_known, known_lines
from recur.record.result import Scores, State
from recur.record.stats.arm import FINEWEB, Arm, arm_of_known, arm_of_sweep, same_text, same_tokenizer
from tests.recur.record.samples import facts, failed, finished, reference_seed, sweep


def test_a_sweeps_arm_has_its_succeeded_seeds_and_names_the_others() -> None:
    unscored = replace(finished(3), val_bpb=Scores(trained=1.1))
    invalid = replace(finished(4), state=State.INVALID)
    arm = arm_of_sweep(sweep(finished(1, sliding=1.0), finished(2, sliding=1.2), unscored, invalid, failed(7)))
    assert (arm.seeds, arm.val_bpb, arm.n) == ((1, 2), (1.0, 1.2), 2)
    assert arm.mean_bpb == pytest.approx(1.1)
    assert arm.left_out == ("seed 3: no sliding score", "seed 4: INVALID", "seed 7: FAILED")


def test_an_arm_without_scores_has_no_mean_and_no_moments() -> None:
    arm = arm_of_sweep(sweep(failed()))
    assert (arm.mean_bpb, arm.bpb, arm.loss, arm.n, arm.bytes) == (None, None, None, None, None)


def test_one_seed_has_a_mean_but_no_moments() -> None:
    arm = arm_of_sweep(sweep(finished()))
    assert (arm.mean_bpb, arm.n, arm.bpb) == (1.0921, 1, None)


def test_a_sweep_of_the_whole_validation_text_is_on_the_published_lines_text_and_tokenizer() -> None:
    ours = arm_of_sweep(sweep(finished(1), finished(2)))
    assert (ours.corpus, ours.scored_bytes) == (FINEWEB, 151_074_053)
    sp4096, sp8192 = arm_of_known(find_known("1334")), arm_of_known(find_known("1394"))
    assert same_text(ours, sp4096) and same_text(ours, sp8192)
    assert same_tokenizer(ours, sp4096) is True
    assert same_tokenizer(ours, sp8192) is False


def test_other_texts_are_other_texts_and_unknown_ones_unknown() -> None:
    small = arm_of_sweep(sweep(replace(finished(1), scored_bytes=1000, scored_tokens=400)))
    other = arm_of_sweep(sweep(replace(finished(1), scored_bytes=1001, scored_tokens=400)))
    assert small.corpus == "a text of 1,000 bytes"
    assert same_text(small, small) is True
    assert same_text(small, other) is False
    assert same_text(small, arm_of_known(find_known("1334"))) is False
    assert same_tokenizer(small, other) is False
    silent = Arm(label="silent", mean_bpb=1.0)
    assert same_text(silent, small) is None
    assert same_tokenizer(silent, small) is None


def test_the_reference_seeds_are_one_arm_whether_run_here_or_published() -> None:
    published = arm_of_known(find_known("1421"))
    ours = arm_of_sweep(sweep(*(reference_seed(int(seed), run) for seed, run in facts()["runs"].items())))
    assert (ours.seeds, ours.val_bpb, ours.total_bytes) == (published.seeds, published.val_bpb, published.total_bytes)
    assert (published.pr, published.base_pr, published.status) == (1421, 1334, "open")


def test_a_line_with_only_a_mean_has_no_moments_and_the_bytes_per_token_of_its_tokenizer() -> None:
    arm = arm_of_known(find_known("1413"))
    assert (arm.val_bpb, arm.bpb, arm.n, arm.mean_bpb, arm.scoring) == ((), None, None, 1.08279, "ttt")
    assert arm.bytes_per_token == arm_of_known(find_known("1394")).bytes_per_token
    spread_only = arm_of_known(find_known("1060"))
    assert spread_only.bpb is not None
    assert (spread_only.bpb.n, spread_only.bpb.sd, spread_only.n) == (3, 0.0005, 3)


def test_every_line_is_an_arm_on_the_text_of_the_challenge() -> None:
    arms = [arm_of_known(r) for r in known_lines()]
    assert all(arm.corpus == FINEWEB and arm.mean_bpb for arm in arms)
