"""Where a run lies that was started by `ray job submit`: from the job's command line, labels and first lines of its log."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.diagnose import Answer
from cluster.job_client import JobState, JobsUnreachable
from recur.errors import InputError

_RESULTS = re.compile(r"^sweep [a-z0-9-]+: \d+ seeds, \d+ at a time, results in (/.+)$", re.MULTILINE)
"""The line that `cluster.request.prepare_sweep` prints."""
_JOB = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The folder of the run, and whether the job that drives it has not ended."""

    root: Path
    driver_lives: bool


def find_run(submission: str, ask: Callable[[str], Answer], log: Callable[[str], str]) -> Found:
    """The run that a submission id stands for: that of its driver, or that of a seed's job.

    Args:
        submission: the id that `ray job submit` printed.
        ask: GETs a path of the dashboard.
        log: the log of a job.

    Raises:
        JobsUnreachable: Ray does not answer.
        InputError: it does not know the id, or the job is no run of ours.
    """
    if not _JOB.fullmatch(submission):
        raise InputError(f"submission id {submission!r}", "is none", "see `ray job list`")
    job = _details(submission, ask(f"/api/jobs/{submission}"))
    words = shlex.split(str(job.get("entrypoint", "")))
    if "jobs/seed.py" in words and "--spec" in words[:-1]:
        spec = Path(words[words.index("--spec") + 1])
        return Found(root=spec.parents[2], driver_lives=False)
    lines = _RESULTS.findall(log(submission))
    if not lines:
        rule = "has printed no line `sweep NAME: ... results in FOLDER`"
        remedy = "give the id of a job of jobs/record.py that has prepared its data, or the run's folder"
        raise InputError(f"job {submission}", rule, remedy)
    return Found(root=Path(lines[-1]), driver_lives=not JobState(str(job.get("status"))).terminal)


def _details(submission: str, answer: Answer) -> dict[str, Any]:
    if answer.status == 404:
        raise InputError(
            f"submission id {submission!r}", "is not known to this Ray", "see `ray job list`, or give the run's folder"
        )
    if answer.status in (401, 403):
        remedy = "export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) of this Ray"
        raise InputError("Ray's token", f"is refused ({answer.status})", remedy)
    try:
        found = json.loads(answer.text)
    except ValueError:
        found = None
    if answer.status != 200 or not isinstance(found, dict):
        raise JobsUnreachable(f"Ray's Jobs API does not answer: {answer.status or ''} {answer.text[:200]}")
    return found
