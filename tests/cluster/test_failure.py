"""What follows a failure: the whole table of causes, and the two budgets."""

from __future__ import annotations

import random

import pytest

from cluster.failure import Action, Budget, Cause, Spent, decide, explained

BUDGET = Budget(lost=1, preempted=2)
DIED = (Cause.WORKER, Cause.DRIVER, Cause.VANISHED)


@pytest.mark.parametrize("cause", [Cause.INPUT, Cause.PLACEMENT, Cause.PROGRAM, Cause.STOPPED])
def test_what_would_fail_again_is_never_tried_again(cause: Cause) -> None:
    decision = decide(cause, Spent(), Budget(lost=99, preempted=99))
    assert decision.action is Action.FAIL and decision.reason.startswith("not tried again: ")


@pytest.mark.parametrize("cause", [Cause.INPUT, Cause.PLACEMENT, Cause.STOPPED])
def test_a_reason_that_says_what_to_do_stays_as_it_is(cause: Cause) -> None:
    assert explained("no such shard; fetch it", decide(cause, Spent(), BUDGET)) == "no such shard; fetch it"
    assert explained("no such shard; fetch it", None) == "no such shard; fetch it"


def test_a_broken_rule_is_invalid_and_no_failure() -> None:
    assert decide(Cause.RULE, Spent(), BUDGET).action is Action.INVALID


@pytest.mark.parametrize("cause", DIED)
def test_what_died_is_tried_again_as_often_as_its_budget_says(cause: Cause) -> None:
    first = decide(cause, Spent(), BUDGET)
    assert (first.action, first.reason) == (Action.RETRY, "tried again by itself, 1 of 1")
    assert explained("it died", first) == "it died"
    second = decide(cause, Spent().plus(cause), BUDGET)
    assert second.action is Action.FAIL
    assert explained("it died", second) == ("it died (not tried again by itself any more: look at its logs, then retry it)")


def test_a_node_that_was_taken_away_has_a_budget_of_its_own_and_so_has_a_place_that_was_not_there() -> None:
    had = Spent(lost=1)
    for number, cause in enumerate((Cause.NODE, Cause.ROOM), 1):
        decision = decide(cause, had, BUDGET)
        assert (decision.action, decision.reason) == (Action.RETRY, f"tried again by itself, {number} of 2")
        had = had.plus(cause)
    assert decide(Cause.NODE, had, BUDGET).action is Action.FAIL
    assert had == Spent(lost=1, preempted=2)


def test_no_sequence_of_causes_is_tried_for_ever() -> None:
    rng = random.Random(3)
    for _ in range(200):
        had, retries = Spent(), 0
        while True:
            cause = rng.choice(list(Cause))
            if decide(cause, had, BUDGET).action is not Action.RETRY:
                break
            had, retries = had.plus(cause), retries + 1
        assert retries <= BUDGET.lost + BUDGET.preempted


def test_every_cause_has_an_answer_with_a_reason() -> None:
    for cause in Cause:
        assert len(decide(cause, Spent(), BUDGET).reason) > 10
