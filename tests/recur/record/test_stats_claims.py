"""Which words the numbers carry, and which of a text's claims they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.record.known import KnownRecord, find_known, known_lines
from recur.record.stats.arm import FINEWEB, Arm, arm_of_known
from recur.record.stats.claims import allowed_wording, frontier, refused
from recur.record.stats.verdicts import Relation

REFERENCE = arm_of_known(find_known("1421"))
MARCH = arm_of_known(find_known("1019"))
SMALL = Arm(label="smoke", val_bpb=(2.31, 2.32, 2.33), mean_bpb=2.32, corpus="a text of 1,000 bytes", scored_bytes=1000)
BEST = Arm(label="ours", val_bpb=(1.0501, 1.0502, 1.0503), mean_bpb=1.0502, corpus=FINEWEB, bytes_per_token=3.3197)


def phrases_of(text: str, arm: Arm = REFERENCE) -> list[str]:
    return [r.phrase for r in refused(text, arm, known_lines())]


def test_the_reference_run_may_say_that_it_is_worse_than_its_base_and_better_than_the_line_of_march() -> None:
    claims = allowed_wording(REFERENCE, known_lines())
    base, march = claims.against("PR 1334"), claims.against("PR 1019")
    assert base is not None and base.relation is Relation.WORSE
    assert march is not None and march.relation is Relation.BETTER
    assert any(s.startswith("PR 1421 is worse than PR 1334: +0.00276 BPB") for s in claims.sentences)
    assert claims.against("PR 1421") is None


def test_the_reference_run_is_no_record_and_the_reason_has_the_numbers() -> None:
    claims = allowed_wording(REFERENCE, known_lines())
    assert claims.record is False
    assert "PR 1421 is worse than PR" in claims.record_reason
    assert "Welch t =" in claims.record_reason


def test_the_line_of_march_was_a_record_against_what_was_there_before_it() -> None:
    claims = allowed_wording(MARCH, known_lines())
    assert claims.frontier is not None and claims.frontier.against == "PR 549"
    assert claims.record is True
    assert refused("# Record: AR Self-Gen GPTQ\n\nBeats PR #549. New SOTA.", MARCH, known_lines()) == []


def test_an_arm_without_a_pull_request_is_placed_by_its_date() -> None:
    lines = known_lines()
    foreign = replace(MARCH, pr=None, label="folder")
    before, after = frontier(lines, before=foreign), frontier(lines, before=replace(foreign, date=""))
    assert before is not None and before.pr == 549
    assert after is not None and after.pr == 1855


def test_an_arm_far_below_every_line_is_a_record_and_one_on_another_text_never() -> None:
    assert allowed_wording(BEST, [r for r in known_lines() if r.pr in (1855, 1334)]).record is True
    assert refused("New record! It beats PR #1334.", BEST, [r for r in known_lines() if r.pr in (1855, 1334)]) == []
    small = allowed_wording(SMALL, known_lines())
    assert small.record is False
    assert "different texts" in small.record_reason
    assert small.sentences == ()


def test_without_any_line_nothing_is_a_record() -> None:
    claims = allowed_wording(BEST, [])
    assert (claims.record, claims.frontier, claims.verdicts) == (False, None, ())
    assert [r.reason for r in refused("New record", BEST, [])] == [claims.record_reason]


@pytest.mark.parametrize(
    "text",
    [
        "# Record: 11L Depth Recurrence + EMA Tuning (0.9965)",
        '{\n  "name": "Record: 11L Depth Recurrence"\n}',
        "Record: 11L depth recurrence",
        "[Record] 11L depth recurrence",
        '{"name": "New Record: 11L"}',
        "# Record 11L depth recurrence",
        "## New record\n",
        "This run sets a new record of 1.0925.",
        "A **new state-of-the-art** result.",
        "SOTA at 16 MB.",
        "New SOTA: 1.0925",
        "It beats PR #1334.",
        "This improves on #1334 by tuning the average.",
        "This run, built on\n#1334, improves\non it: better than\nPR 1334.",
        "improved by 0.0022 BPB over #1334",
        "An improvement over the base of 0.002.",
        "PR #1421 outperforms its parent.",
        "Improved val_bpb from 1.0980 to 1.0925",
        "We surpass the previous best",
        '"blurb": "beating PR1334\'s exact mean"',
        "It is better than [PR #1334](https://github.com/openai/parameter-golf/pull/1334).",
        "Not only cheap: it beats #1334.",
    ],
)
def test_a_claim_that_the_reference_runs_numbers_do_not_carry_is_refused(text: str) -> None:
    found = refused(text, REFERENCE, known_lines())
    assert found
    assert all("BPB" in r.reason for r in found)


@pytest.mark.parametrize(
    "text",
    [
        "PR 1421 is worse than #1334: +0.00276 BPB, Welch t = 10.84.",
        "It is worse than PR #1334 and better than PR #1019.",
        "It is better than PR #1019 and worse than #1334.",
        "It beats #1019 by more than #1334 did.",
        "It does not improve on #1334, and it is not a record.",
        "Nothing here claims a new record.",
        "A record must beat the existing SOTA by .005 nats.",
        "PR #1334 improves on #1285.",
        "PR #1394 (merged 1.0856) is better than this run.",
        "Merged SOTA (#1019): 1.1147; delta vs SOTA -0.022.",
        "Non-record: a study of the moving average",
        "The title says `Record:`; its README claims that it improves on #1334.",
        "Files: records/track_10min_16mb/2026-04-06_X, a record folder. Each phase writes its record last.",
        "The optimizer was improved for speed. See #1334.",
        "Whether it beats #1334 is tested below.",
        "",
    ],
)
def test_a_sentence_that_reports_denies_or_asks_is_not_refused(text: str) -> None:
    assert refused(text, REFERENCE, known_lines()) == []


def test_a_refusal_names_the_line_the_words_and_the_numbers() -> None:
    text = "# Depth recurrence\n\nA table.\n\n- fast\n- it improves on PR #1334\n"
    found = refused(text, REFERENCE, known_lines())
    assert [(r.line_number, r.phrase) for r in found] == [(6, "improves on PR #1334")]
    assert "+0.00276 BPB" in found[0].reason
    assert "df 3.91" in found[0].reason


def test_every_named_line_is_judged_for_itself() -> None:
    found = refused("Beats #1019, #1334 and #99999.", REFERENCE, known_lines())
    assert ["PR 1334" in r.reason or "PR 99999" in r.reason for r in found] == [True, True]
    assert "no numbers of PR 99999 are known" in found[1].reason


def test_a_claim_against_a_line_that_publishes_no_seeds_is_refused() -> None:
    low = replace(BEST, val_bpb=(1.0821, 1.0822, 1.0823), mean_bpb=1.0822)
    assert "no two seeds' scores of PR 1413 are known" in refused("It beats #1413.", low, known_lines())[0].reason


def test_the_base_is_the_one_the_arm_names() -> None:
    better = replace(REFERENCE, base_pr=1019)
    assert phrases_of("It improves on its base.", better) == []
    assert phrases_of("It improves on its base.") == ["improves on its base"]


def test_known_lines_are_enough_and_any_of_them_can_be_the_subject() -> None:
    for record in known_lines():
        assert isinstance(record, KnownRecord)
        claims = allowed_wording(arm_of_known(record), known_lines())
        assert len(claims.verdicts) == len(known_lines()) - 1


@given(st.text(alphabet=st.sampled_from('a #1334.\n"|`>-:*PRrecordbeatsSOTA'), max_size=80))
def test_any_text_is_read_and_every_refusal_lies_in_it(text: str) -> None:
    for found in refused(text, REFERENCE, known_lines()[:6]):
        assert 1 <= found.line_number <= text.count("\n") + 1
        assert found.reason
