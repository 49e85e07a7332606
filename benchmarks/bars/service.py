"""What the service adds to a seed: from its submission to the trainer's first word, and from its result to the service's row.

A real Ray head, the real store and reconciler, a real job; the recipe is the tests' tiny one, so that only what does not
depend on it is counted: queue, preparing, job, workers' start, and at the end the driver's exit and the taking in. The first
sweep prepares the data; the second is measured, when the first's report is out of its way. The share is of the record's 590 s.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.reconciler.helper import REPORT_FILE
from benchmarks.harness import Outcome, judged
from recur.record.attempt import AttemptDir
from recur.record.result import State
from tests.api.reconciler.on_ray import Service
from tests.cluster.kit import ray_head, short_folder, wait_for

TRAINING_S = 590.0
MOST_FRAC = 0.03
LONGEST_S = 300.0


def events(path: Path) -> list[dict[str, Any]]:
    """A file of events."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(service: Service, sweep: str) -> tuple[float, float, float]:
    """Seconds added in front of the trainer, seconds added behind the result, and seconds from the submission to step 1."""
    submitted = time.time()
    service.submit(sweep, "artifact.code_bytes=0")
    wait_for(lambda: service.row(sweep).state.terminal, LONGEST_S)
    taken_in = time.time()
    row = service.row(sweep)
    assert row.state is State.SUCCEEDED, row.reason
    attempt = AttemptDir(service.out / sweep, 42, 1)
    told = events(attempt.path("progress.jsonl"))
    began = next(e["at"] for e in told if e["kind"] == "phase")
    first_step = next(e["at"] for e in told if e["kind"] == "step")
    written = attempt.path("result.json").stat().st_mtime
    return began - submitted, taken_in - written, first_step - submitted


def outcomes() -> Iterator[Outcome]:
    """One bar."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # where it is set, every process compiles the program anew
    with ray_head(cpus=2) as head, short_folder() as folder, Service(folder, head) as service:
        run(service, "first")
        wait_for((folder / "out" / "first" / REPORT_FILE).exists, LONGEST_S)
        before, behind, first_step = run(service, "second")
    yield judged(
        name="service, what it adds to a seed of 590 s",
        ratio=(before + behind) / TRAINING_S,
        threshold=MOST_FRAC,
        kind="share",
        agreement="the seed succeeded",
        note=f"{before:.1f} s before the trainer, {behind:.1f} s behind the result; step 1 after {first_step:.1f} s",
    )
