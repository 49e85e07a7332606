"""`cluster.overlap` on a real head: the second seed takes the GPUs while the first is quantized, and neither loses by it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.store import attempts, sweeps
from api.store.rows import Pool
from recur.data.dataset import Dataset
from recur.record.attempt import AttemptDir
from recur.record.journal import read_events
from recur.record.report import read_sweep
from recur.record.result import Phase, State
from tests.api.reconciler.kit import new_sweep, recipe_json
from tests.api.reconciler.on_ray import Service
from tests.cluster.kit import ROOT, Head, ray_head, script, set_flags, short_folder, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.timeout(900)]

OVERLAP = ("cluster.workers=2", "cluster.gpus_per_worker=1", "cluster.fanout_cpus=2", "cluster.overlap=true")
FIRST, SECOND = 42, 1337


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(cpus=4, gpus=2) as running:
        yield running


def test_record_py_starts_the_second_seed_while_the_first_is_quantized(head: Head, tiny_dataset: Dataset) -> None:
    with short_folder() as out:
        flags = [*set_flags(*OVERLAP), "--seeds", f"{FIRST},{SECOND}", "--data", str(tiny_dataset.root), "--out", str(out)]
        line = script("jobs/record.py", *flags, "--sweep", "overlap", "--address", head.gcs)
        done = subprocess.run(line, env=dict(head.environment), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 seeds, 1 at a time" in done.stdout
        assert read_sweep(out / "overlap").state is State.SUCCEEDED
        events = read_events(out / "overlap" / "events.jsonl")
        begun = next(e.at for e in events if (e.fields["seed"], e.fields["state"]) == (SECOND, State.SUBMITTING))
        assert overlapped(out / "overlap", begun)


def test_the_service_does_so_too(head: Head) -> None:
    with short_folder() as folder, Service(folder, head) as service:
        recipe = recipe_json(*OVERLAP, "train.peak_tflops=1.0", "artifact.code_bytes=0")
        with service.store.write() as c:
            sweeps.create(c, new_sweep("served", (FIRST, SECOND), at=time.time(), pool=Pool.GPU, recipe=recipe), ageing_s=3600.0)
        service.loop.nudge()

        def ended() -> bool:
            with service.store.read() as c:
                return all(row.state.terminal for row in attempts.current(c, "served"))

        wait_for(ended, 600)
        with service.store.read() as c:
            rows = attempts.current(c, "served")
        assert [row.state for row in rows] == [State.SUCCEEDED] * 2, [row.reason for row in rows]
        assert rows[1].admitted_at is not None
        assert overlapped(service.out / "served", rows[1].admitted_at)


def overlapped(root: Path, begun: float) -> bool:
    """Whether the second seed was begun after the first one's training and before its end."""
    first = AttemptDir(root, FIRST, 1)
    phases = [e for e in read_events(first.path("progress.jsonl")) if e.kind == "phase"]
    quantized = next(e.at for e in phases if e.fields["phase"] == Phase.QUANTIZE.value)
    return quantized < begun < first.path("result.json").stat().st_mtime
