"""One attempt as a job: its folder, what it adopts, its spec, its request, and the job's log. Shared by loop and service."""

from __future__ import annotations

import logging
from itertools import takewhile
from pathlib import Path

from cluster.job_client import JobClient, JobRequest, JobState, JobsUnreachable, job_id, seed_entrypoint
from cluster.look import Sight
from cluster.policy import Limits, Seen
from cluster.seal import unsound
from cluster.session import EXCLUDES, JOB_ENVIRONMENT
from recur.errors import ArtifactError
from recur.record.atomic import write_bytes_atomic
from recur.record.attempt import AttemptDir
from recur.seedspec import PHASES, SPEC_FILE, SeedSpec, save_spec

LOG_FILE = "job.log"
LARGEST_LOG_BYTES = 16 << 20
"""Of a longer log the end is kept."""
_log = logging.getLogger(__name__)
_STAMPED = ("progress.jsonl", "intervals.jsonl", "clock.json")


def place_attempt(spec: SeedSpec, adopt_from: int | None) -> AttemptDir:
    """Make the attempt's folder, take over the finished phases of an earlier attempt, write its spec: the spec comes last.

    Without its spec the attempt has never run, so stamps that an interrupted call has left are removed first: taken over twice
    they would say that every token was scored twice.

    Raises:
        StorageError: the disk is full or not writable.
    """
    attempt = spec.attempt_dir.create()
    if attempt.path(SPEC_FILE).exists():
        return attempt
    if adopt_from is not None:
        _take_over(attempt, AttemptDir(spec.sweep_root, spec.seed, adopt_from), research=spec.recipe.mode == "research")
    save_spec(attempt.path(SPEC_FILE), spec)
    return attempt


def _take_over(attempt: AttemptDir, earlier: AttemptDir, *, research: bool) -> None:
    """What is whole of an earlier attempt: its phases up to the first that is damaged, with their stamps.

    Where a job has sealed its files, only those that are as they were sealed; without clocks and intervals nothing is taken.
    """
    for name in _STAMPED:
        attempt.path(name).unlink(missing_ok=True)
    off = unsound(earlier)
    whole = () if off & set(_STAMPED) else tuple(takewhile(lambda phase: f"record_{phase}.json" not in off, PHASES))
    taken = attempt.adopt(earlier, whole)
    if research and not taken.phases:
        try:
            attempt.take_story(earlier)
        except ArtifactError as error:
            _log.warning("damaged_story folder=%s error=%s", earlier.folder, error)
    attempt.append_event("adopted", {"attempt": earlier.attempt, "phases": ",".join(taken.phases)})


def seed_request(spec: SeedSpec, runtime_env: dict[str, object]) -> JobRequest:
    """The job of an attempt, labelled with its sweep, seed, attempt and profile."""
    name = job_id(spec.sweep, spec.seed, spec.attempt)
    return JobRequest(
        job_id=name,
        entrypoint=seed_entrypoint(spec.attempt_dir.path(SPEC_FILE).resolve()),
        runtime_env=runtime_env,
        metadata={
            "sweep": spec.sweep,
            "seed": str(spec.seed),
            "attempt": str(spec.attempt),
            "profile": spec.recipe.profile,
            "job_name": name,
        },
    )


def seed_environment(root: Path) -> dict[str, object]:
    """The runtime environment of seed jobs that are submitted from outside the cluster: the repository, and Ray's settings."""
    return {"working_dir": str(root), "excludes": list(EXCLUDES), "env_vars": dict(JOB_ENVIRONMENT)}


def save_log(jobs: JobClient, name: str, attempt: AttemptDir) -> None:
    """Keep what the job has printed as `LOG_FILE` of its attempt; where it cannot be had, say so behind what is there.

    Raises:
        StorageError: the disk is full or not writable.
    """
    path = attempt.path(LOG_FILE)
    try:
        text = jobs.logs(name).encode(errors="replace")[-LARGEST_LOG_BYTES:]
    except JobsUnreachable as error:
        before = path.read_bytes() if path.exists() else b""
        text = before + f"the job's log could not be read: {error}\n".encode()
    if text or not path.exists():
        write_bytes_atomic(path, text)


def make_sure(jobs: JobClient, name: str, seen: Seen, sight: Sight, limits: Limits) -> None:
    """Make Ray look after a job that it calls running while the attempt shows no life any more, once for each such silence.

    A head that was started anew goes on to call a killed job RUNNING until somebody asks for its log (RAY.md 5).
    """
    age_s = seen.heartbeat_age_s
    silent = seen.process_gone or (age_s is not None and age_s > limits.stale_s)
    if seen.job is None or seen.job.state is not JobState.RUNNING or not silent:
        sight.made_sure = False
        return
    if sight.made_sure:
        return
    try:
        jobs.logs(name)
    except JobsUnreachable as error:
        _log.warning("log_unreachable job=%s error=%s", name, error)
    else:
        sight.made_sure = True
