"""What an attempt's folder says: result, error, sign of life."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cluster.failure import Cause
from cluster.outcome import cancelled, mark_cancelled, read_failure, read_life, read_result, write_failure
from recur.errors import ArtifactError, DataError, PlacementError, RecurError, WorkerLost
from recur.record.atomic import write_json_atomic
from recur.record.attempt import AttemptDir
from tests.cluster.kit import leave_result


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptDir:
    return AttemptDir(tmp_path, 42, 1).create()


def test_an_empty_folder_says_nothing(attempt: AttemptDir) -> None:
    assert read_result(attempt) is None
    assert read_failure(attempt) is None
    assert read_life(attempt, 0.0) is None
    assert not cancelled(attempt)


def test_a_result_comes_back_as_it_was_left(attempt: AttemptDir) -> None:
    left = leave_result(attempt)
    assert read_result(attempt) == left


def test_a_result_of_another_attempt_is_refused(attempt: AttemptDir) -> None:
    write_json_atomic(attempt.path("result.json"), {"seed": 42, "state": "SUCCEEDED", "attempt": 2})
    with pytest.raises(ArtifactError, match="attempt 1"):
        read_result(attempt)


def test_bad_input_is_left_as_its_own_line_and_a_crash_with_its_type(attempt: AttemptDir) -> None:
    write_failure(attempt, DataError("shard a", "is cut", "fetch it"))
    told = read_failure(attempt)
    assert told is not None
    assert (told.kind, told.message) == (Cause.INPUT, "shard a is cut; fetch it")
    write_failure(attempt, RecurError("diverged\nsecond line"))
    told = read_failure(attempt)
    assert told is not None
    assert (told.kind, told.message) == (Cause.PROGRAM, "RecurError: diverged")


def test_a_death_and_a_node_that_went_away_are_told_apart(attempt: AttemptDir) -> None:
    for error, cause in (
        (WorkerLost("rank 1", node_gone=False), Cause.WORKER),
        (WorkerLost("rank 1", node_gone=True), Cause.NODE),
        (PlacementError("8 GPUs", "do not fit", "use fewer"), Cause.PLACEMENT),
    ):
        write_failure(attempt, error)
        told = read_failure(attempt)
        assert told is not None and told.kind is cause


def test_an_error_file_from_before_there_were_causes_still_reads(attempt: AttemptDir) -> None:
    write_json_atomic(attempt.path("error.json"), {"kind": "run", "message": "RecurError: diverged"})
    told = read_failure(attempt)
    assert told is not None and told.kind is Cause.PROGRAM


def test_an_error_without_words_still_has_its_type(attempt: AttemptDir) -> None:
    write_failure(attempt, MemoryError())
    told = read_failure(attempt)
    assert told is not None
    assert told.message == "MemoryError: "


def test_a_heartbeat_of_a_living_process_has_an_age_and_no_end(attempt: AttemptDir) -> None:
    beat = {"at": 100.0, "pid": os.getpid(), "host": socket.gethostname()}
    write_json_atomic(attempt.path("heartbeat.json"), beat)
    life = read_life(attempt, 107.5)
    assert life is not None
    assert (life.age_s, life.process_gone) == (7.5, False)


@pytest.mark.parametrize(("host", "gone"), [(socket.gethostname(), True), ("another-host", False)])
def test_only_a_process_of_this_host_can_be_seen_to_be_gone(attempt: AttemptDir, host: str, gone: bool) -> None:
    write_json_atomic(attempt.path("heartbeat.json"), {"at": 1.0, "pid": 2**22 + 1, "host": host})
    life = read_life(attempt, 2.0)
    assert life is not None
    assert life.process_gone is gone


def test_a_cancelled_attempt_is_marked(attempt: AttemptDir) -> None:
    mark_cancelled(attempt)
    assert cancelled(attempt)
