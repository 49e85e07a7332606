"""What can be seen of one attempt now: the job system's word beside what lies in the attempt's folder.

Shared by the sweep loop and the service. A job writes its folder, so nothing there is trusted to be small or flat: files
are looked at before they are read.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.failure import Cause
from cluster.job_client import JobInfo
from cluster.outcome import ERROR_FILE, RESULT_FILE, SignOfLife, read_failure, read_life, read_result
from cluster.policy import Seen
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir
from recur.record.result import SeedResult, State

LARGEST_BYTES: Mapping[str, int] = {RESULT_FILE: 1 << 18, ERROR_FILE: 1 << 16}
"""A result of eight ranks has some 4 KiB."""
_LARGEST_BEAT_BYTES = 1 << 16
_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Sight:
    """What must be remembered from one look to the next: since when something has been so; None where it is not."""

    unknown_since: float | None = None
    ended_since: float | None = None
    result_since: float | None = None
    made_sure: bool = False
    """Whether the job system was made to look after a job that shows no life."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One attempt at one moment.

    Attributes:
        seen: what `cluster.policy.judge` asks for.
        result: the attempt's own result.
        bad_input: its error is the user's to mend.
        life: its last heartbeat.
    """

    seen: Seen
    result: SeedResult | None
    bad_input: bool
    life: SignOfLife | None


def look(attempt: AttemptDir, job: JobInfo | None, sight: Sight, now: float) -> Look:
    """Read the attempt's folder beside what the job system says, and keep in ``sight`` since when.

    Raises:
        ArtifactError: a file there is damaged, too large, or of another attempt.
    """
    heard = listen(job, sight, now)
    for name, most_bytes in LARGEST_BYTES.items():
        check_plain(attempt.path(name), most_bytes)
    try:
        result, failure, life = read_result(attempt), read_failure(attempt), life_of(attempt, now)
    except RecursionError as error:
        raise ArtifactError(f"a file in {attempt.folder}", "is nested too deeply", "run the seed again") from error
    if result is not None and result.state not in (State.SUCCEEDED, State.INVALID):
        raise ArtifactError(f"{attempt.path(RESULT_FILE)} state={result.state}", "is no end of a run", "run the seed again")
    sight.result_since = _since(result is not None, sight.result_since, now)
    seen = replace(
        heard,
        result=result.state if result else None,
        result_for_s=_for_s(sight.result_since, now),
        error=failure.message if failure else None,
        cause=failure.kind if failure else None,
        heartbeat_age_s=life.age_s if life else None,
        process_gone=life.process_gone if life else False,
    )
    return Look(
        seen=seen, result=result, bad_input=failure is not None and failure.kind in (Cause.INPUT, Cause.PLACEMENT), life=life
    )


def life_of(attempt: AttemptDir, now: float) -> SignOfLife | None:
    """The last heartbeat; a damaged one is none, because a monitoring file must not end a run."""
    try:
        check_plain(attempt.path("heartbeat.json"), _LARGEST_BEAT_BYTES)
        return read_life(attempt, now)
    except (ArtifactError, RecursionError) as error:
        _log.warning("damaged_heartbeat folder=%s error=%s", attempt.folder, str(error)[:200])
        return None


def lives(attempt: AttemptDir, now: float, stale_s: float) -> bool:
    """Whether the last heartbeat is fresh and nothing says that its process is gone."""
    life = life_of(attempt, now)
    return life is not None and not life.process_gone and life.age_s <= stale_s


def listen(job: JobInfo | None, sight: Sight, now: float) -> Seen:
    """What the job system says alone, for a folder that cannot be read."""
    sight.unknown_since = _since(job is None, sight.unknown_since, now)
    sight.ended_since = _since(job is not None and job.state.terminal, sight.ended_since, now)
    return Seen(job=job, unknown_for_s=_for_s(sight.unknown_since, now), ended_for_s=_for_s(sight.ended_since, now))


def check_plain(path: Path, most_bytes: int) -> None:
    """Refuse what is no regular file (a link, a pipe that would never end) or larger than it can honestly be.

    Raises:
        ArtifactError: as said; a missing file is none of these.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    remedy = "run the seed again"
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError(str(path), "is not a regular file", remedy)
    if found.st_size > most_bytes:
        raise ArtifactError(str(path), f"has {found.st_size} bytes, but may have {most_bytes}", remedy)


def _since(is_so: bool, since: float | None, now: float) -> float | None:
    if not is_so:
        return None
    return now if since is None else since


def _for_s(since: float | None, now: float) -> float:
    return 0.0 if since is None else now - since
