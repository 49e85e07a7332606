"""What an attempt's folder says about it: its result, its error, its last sign of life. The folder is the truth."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from cluster.failure import Cause
from recur.errors import ArtifactError, InputError, NoRoom, PlacementError, WorkerLost
from recur.record.atomic import read_json, write_json_atomic
from recur.record.attempt import AttemptDir
from recur.record.codec import from_json
from recur.record.result import Phase, SeedResult

RESULT_FILE = "result.json"
ERROR_FILE = "error.json"
REQUEST_FILE = "request.json"
"""In a sweep's folder: what a service wants prepared. The sweep is that service's."""
CANCEL_FILE = "cancelled"
"""Written by the driver before it stops a job: a job that starts late reads it and ends at once."""

_LARGEST_PID, _LATEST = 2**31 - 1, 1e12
"""What the system call takes, and a time that is none."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt ended, in its own words."""

    kind: Cause
    message: str


@dataclass(frozen=True, kw_only=True)
class SignOfLife:
    """The last heartbeat: its age by our clock, and whether its process lived on this host and is gone."""

    age_s: float
    process_gone: bool
    fields: dict[str, object]

    @property
    def phase(self) -> Phase | None:
        """What the attempt was doing; None where the heartbeat does not name a phase."""
        named = self.fields.get("phase")
        return Phase(str(named)) if named in tuple(Phase) else None


def write_failure(attempt: AttemptDir, error: BaseException) -> None:
    """Leave the one line that the driver reports for this attempt."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    named = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
    write_json_atomic(attempt.path(ERROR_FILE), {"kind": cause_of(error).value, "message": named[:500]})


def cause_of(error: BaseException) -> Cause:
    """Which kind of failure an exception is."""
    if isinstance(error, PlacementError):
        return Cause.PLACEMENT
    if isinstance(error, InputError):
        return Cause.INPUT
    if isinstance(error, NoRoom):
        return Cause.ROOM
    if isinstance(error, WorkerLost):
        return Cause.NODE if error.node_gone else Cause.WORKER
    return Cause.PROGRAM


def read_failure(attempt: AttemptDir) -> Failure | None:
    """What `write_failure` wrote; None when the attempt left no error."""
    path = attempt.path(ERROR_FILE)
    if not path.exists():
        return None
    document = read_json(path)
    if isinstance(document, dict) and document.get("kind") == "run":  # written before there were causes
        document = {**document, "kind": Cause.PROGRAM.value}
    return from_json(Failure, document, where=str(path))


def read_result(attempt: AttemptDir) -> SeedResult | None:
    """The attempt's own result; None while there is none.

    Raises:
        ArtifactError: the file is not a result, or one of another seed or attempt.
    """
    path = attempt.path(RESULT_FILE)
    if not path.exists():
        return None
    result = from_json(SeedResult, read_json(path), where=str(path))
    if (result.seed, result.attempt) != (attempt.seed, attempt.attempt):
        rule = f"must be of seed {attempt.seed} attempt {attempt.attempt}"
        raise ArtifactError(f"{path} of seed {result.seed} attempt {result.attempt}", rule, "run the seed again")
    return result


def read_life(attempt: AttemptDir, now: float) -> SignOfLife | None:
    """The last heartbeat; None before the first."""
    beat = attempt.read_heartbeat()
    if beat is None:
        return None
    pid, host, at = beat.get("pid"), beat.get("host"), beat.get("at")
    here = isinstance(pid, int) and 0 < pid <= _LARGEST_PID and host == socket.gethostname()
    age_s = float("inf")
    if isinstance(at, int | float) and abs(at) < _LATEST:
        written_at = attempt.path("heartbeat.json").stat().st_mtime
        age_s = now - min(at, written_at)  # a host whose clock is ahead must not seem alive for ever
    return SignOfLife(age_s=age_s, process_gone=here and not _alive(int(str(pid))), fields=beat)


def cancelled(attempt: AttemptDir) -> bool:
    """Whether the driver has cancelled this attempt."""
    return attempt.path(CANCEL_FILE).exists()


def mark_cancelled(attempt: AttemptDir) -> None:
    """Tell a job that may start late to end at once."""
    write_json_atomic(attempt.path(CANCEL_FILE), {"cancelled": True})


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
