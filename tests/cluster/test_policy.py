"""What a sweep concludes from what it sees (SERVICE P4, P6, P8, P9)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from cluster.job_client import JobInfo, JobState
from cluster.policy import Limits, Seen, explain, free_slots, judge
from recur.record.result import State

LIMITS = Limits()


def job(state: JobState, message: str = "") -> JobInfo:
    return JobInfo(job_id="x", state=state, message=message)


@pytest.mark.parametrize("state", [s for s in State if s.terminal])
def test_a_terminal_state_is_final_whatever_is_seen(state: State) -> None:
    seen = Seen(job=job(JobState.RUNNING), result=State.SUCCEEDED)
    assert judge(state, seen, LIMITS).state is state


def test_a_running_job_is_running_and_a_pending_one_submitted() -> None:
    assert judge(State.SUBMITTED, Seen(job=job(JobState.RUNNING)), LIMITS).state is State.RUNNING
    assert judge(State.SUBMITTED, Seen(job=job(JobState.PENDING)), LIMITS).state is State.SUBMITTED


def test_the_result_file_decides_success_and_a_job_that_failed_after_it_is_a_warning() -> None:
    verdict = judge(State.RUNNING, Seen(job=job(JobState.FAILED), result=State.SUCCEEDED), LIMITS)
    assert verdict.state is State.SUCCEEDED
    assert verdict.warning is not None


def test_a_job_that_ended_well_without_a_result_has_failed() -> None:
    verdict = judge(State.RUNNING, Seen(job=job(JobState.SUCCEEDED)), LIMITS)
    assert verdict.state is State.FAILED
    assert verdict.reason == "its job ended SUCCEEDED without a result"


def test_the_attempts_own_error_is_the_reason() -> None:
    seen = Seen(job=job(JobState.FAILED, "exit code 2"), error="shard x has magic 1; fetch it again")
    assert judge(State.RUNNING, seen, LIMITS).reason == "shard x has magic 1; fetch it again"


def test_an_unknown_job_is_lost_only_on_positive_evidence() -> None:
    stale = Seen(job=None, heartbeat_age_s=61.0, unknown_for_s=30.0)
    assert judge(State.RUNNING, stale, LIMITS).state is State.LOST
    assert judge(State.RUNNING, replace(stale, unknown_for_s=29.0), LIMITS).state is State.RUNNING
    assert judge(State.RUNNING, replace(stale, heartbeat_age_s=5.0), LIMITS).state is State.RUNNING


def test_a_dead_process_on_this_host_is_evidence_within_seconds() -> None:
    fresh = Seen(job=None, unknown_for_s=5.0, heartbeat_age_s=1.0, process_gone=True)
    assert judge(State.RUNNING, fresh, LIMITS).state is State.LOST


def test_an_unknown_job_with_a_whole_result_succeeded() -> None:
    verdict = judge(State.RUNNING, Seen(job=None, unknown_for_s=99.0, result=State.SUCCEEDED), LIMITS)
    assert verdict.state is State.SUCCEEDED
    assert verdict.warning is not None


def test_a_cancelled_seed_never_becomes_succeeded_and_is_stopped_until_it_ends() -> None:
    still = judge(State.CANCELLING, Seen(job=job(JobState.PENDING), result=State.SUCCEEDED), LIMITS)
    assert (still.state, still.stop) == (State.CANCELLING, True)
    ended = judge(State.CANCELLING, Seen(job=job(JobState.SUCCEEDED), result=State.SUCCEEDED), LIMITS)
    assert ended.state is State.CANCELLED


def test_a_job_that_does_not_end_after_its_result_is_stopped() -> None:
    verdict = judge(State.RUNNING, Seen(job=job(JobState.RUNNING), result=State.SUCCEEDED, result_for_s=31.0), LIMITS)
    assert (verdict.state, verdict.stop) == (State.RUNNING, True)


def test_a_job_stopped_from_outside_is_cancelled() -> None:
    assert judge(State.RUNNING, Seen(job=job(JobState.STOPPED)), LIMITS).state is State.CANCELLED


def test_random_histories_keep_terminal_final_and_success_backed_by_a_result() -> None:
    draw = random.Random(0)
    for _ in range(3000):
        state = State.SUBMITTED
        for _ in range(12):
            known = job(draw.choice(list(JobState))) if draw.random() < 0.7 else None
            seen = Seen(
                job=known,
                unknown_for_s=0.0 if known else draw.uniform(0, 90),
                result=draw.choice([None, None, State.SUCCEEDED, State.INVALID]),
                heartbeat_age_s=draw.choice([None, 1.0, 100.0]),
            )
            after = State.CANCELLING if not state.terminal and draw.random() < 0.1 else judge(state, seen, LIMITS).state
            assert not state.terminal or after is state
            assert after is not State.SUCCEEDED or state is State.SUCCEEDED or seen.result is State.SUCCEEDED
            assert not (state is State.CANCELLING and after in (State.SUCCEEDED, State.INVALID))
            state = after


def test_the_reason_of_a_failed_job_is_one_line_with_the_last_of_its_log() -> None:
    message = "Job entrypoint command failed with exit code 1, last available logs (truncated):\nTraceback\nValueError: boom\n"
    assert explain(job(JobState.FAILED, message)) == "Job entrypoint command failed with exit code 1: ValueError: boom"


def test_every_admitted_seed_holds_a_slot_until_it_is_terminal() -> None:
    assert [free_slots(2, admitted) for admitted in range(4)] == [2, 1, 0, 0]
    assert free_slots(0, 3) == 0


def test_a_slot_is_passed_on_once_while_its_seed_needs_no_gpu() -> None:
    assert free_slots(1, 1, without_gpu=1) == 1
    assert free_slots(1, 2, without_gpu=2) == free_slots(1, 2, without_gpu=1) == 0
    assert free_slots(3, 4, without_gpu=2) == 1
    assert free_slots(3, 5, without_gpu=5) == 1
