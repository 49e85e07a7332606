"""What a failed training comes down to: one error, and whether it was a death."""

from __future__ import annotations

import pytest
from ray.exceptions import RayActorError
from ray.train import TrainingFailedError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import WorkerGroupError

from cluster.train_seed import plain_failure
from recur.errors import DataError, RecurError, WorkerLost


def test_bad_input_of_a_rank_is_told_before_all_else() -> None:
    lost = ConnectionError("gloo: peer closed")
    error = WorkerGroupError("2 workers failed", {1: lost, 0: DataError("shard x", "is cut", "fetch it")})
    assert str(plain_failure(error)) == "shard x is cut; fetch it"
    assert isinstance(error, TrainingFailedError)


def test_an_error_of_its_own_is_told_before_a_connection_that_broke_because_of_it() -> None:
    failures = {0: RuntimeError("[pair.cc:547] Connection closed by peer"), 1: RecurError("diverged")}
    found = plain_failure(WorkerGroupError("2 failed", failures))
    assert str(found) == "training failed on rank 1: RecurError: diverged" and not isinstance(found, WorkerLost)


def test_a_connection_that_broke_for_no_other_reason_is_a_lost_worker() -> None:
    found = plain_failure(WorkerGroupError("1 failed", {0: RuntimeError("[pair.cc:547] Connection closed by peer")}))
    assert isinstance(found, WorkerLost) and not found.node_gone


@pytest.mark.parametrize(("words", "gone"), [("The actor died because its node has died. Node Id: 1", True), ("SIGKILL", False)])
def test_a_dead_rank_is_told_before_what_the_others_saw_of_it(words: str, gone: bool) -> None:
    death = WorkerHealthCheckFailedError("poll failed", RayActorError(error_msg=words))
    found = plain_failure(WorkerGroupError("2 failed", {0: RuntimeError("diverged"), 1: death}))
    assert isinstance(found, WorkerLost) and found.node_gone is gone
    assert str(found) == f"training lost rank 1: its {'node went away' if gone else 'process died'}"
