"""What a failed training comes down to: one error, and whether it was a death."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError
from ray.train import TrainingFailedError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from cluster.failure import Cause
from cluster.losses import loss_of
from cluster.outcome import cause_of
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
    assert str(found) == f"training rank 1 was lost: its {'node went away' if gone else 'process died'}"


def test_no_room_for_the_workers_is_no_failure_of_the_program() -> None:
    found = plain_failure(ControllerError(WorkerGroupStartupTimeoutError(8)))
    assert cause_of(found) is Cause.ROOM
    assert str(found) == "the cluster had no room for 8 training workers"


def test_a_trainer_whose_own_process_or_node_died_is_a_loss() -> None:
    assert cause_of(plain_failure(ActorDiedError())) is Cause.WORKER
    assert cause_of(plain_failure(RayActorError(error_msg="its node has died"))) is Cause.NODE
    assert cause_of(plain_failure(ControllerError(RuntimeError("a bug")))) is Cause.PROGRAM


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WorkerCrashedError(), Cause.WORKER),
        (OutOfMemoryError("task was killed"), Cause.WORKER),
        (NodeDiedError("gone"), Cause.NODE),
        (RayActorError(preempted=True), Cause.NODE),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), Cause.WORKER),
        (RuntimeError("CUDA error: no CUDA-capable device is detected"), Cause.WORKER),
    ],
)
def test_a_process_a_node_or_a_device_that_went_is_a_loss(error: Exception, cause: Cause) -> None:
    lost = loss_of(error, "evaluate[seed=42 sliding 1/8]")
    assert lost is not None and cause_of(lost) is cause
    assert str(lost).startswith("evaluate[seed=42 sliding 1/8] was lost: its ")


@pytest.mark.parametrize("words", ["CUDA error: an illegal memory access was encountered", "CUDA out of memory", "diverged"])
def test_an_error_of_the_programs_own_is_none(words: str) -> None:
    assert loss_of(RuntimeError(words), "training rank 0") is None


def test_a_device_that_failed_is_told_before_what_the_other_ranks_saw_of_it() -> None:
    failures = {0: RuntimeError("Connection closed by peer"), 1: RuntimeError("CUDA error: uncorrectable ECC error encountered")}
    found = plain_failure(WorkerGroupError("2 failed", failures))
    assert str(found) == "training rank 1 was lost: its device failed (uncorrectable ECC error)"
