"""`jobs/record.py` as a person meets it: bad input is one line and code 2, Ctrl-C leaves nothing, a killed run goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from jobs import record
from jobs.errors import run_app
from jobs.options import parse_seeds
from recur.data.dataset import Dataset
from recur.errors import InputError
from recur.record.attempt import AttemptDir
from recur.record.journal import read_events
from recur.record.report import read_sweep
from recur.record.result import Phase, State
from tests.cluster.kit import ROOT, clean_environment, named, script, set_flags, short_folder, wait_for


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """The exit code and standard error of record.py with these arguments, run in this process."""
    monkeypatch.setattr(sys, "argv", ["record.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app(record.app)
    return int(str(ended.value.code)), capsys.readouterr().err


def damaged(dataset: Dataset, to: Path, name: str) -> Path:
    """A copy of the dataset whose first training shard is damaged in one way."""
    shutil.copytree(dataset.root, to)
    shard = to / dataset.train[0].file
    if name == "cut":
        shard.write_bytes(shard.read_bytes()[:-2])
        return to
    header = np.fromfile(shard, dtype="<i4", count=256)
    header[{"magic": 0, "version": 1, "size": 2}[name]] += 1
    shard.write_bytes(header.tobytes() + shard.read_bytes()[1024:])
    return to


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--profile", "smokey"], "profile='smokey' is not a known profile; did you mean 'smoke'?"),
        (["--profile", "nothing.toml"], "is not a file"),
        (["--profile", "smoke", "--set", "train.stepz=1"], "is not a key of the recipe"),
        (["--profile", "smoke", "--set", "train.steps=0"], "train.steps=0"),
        (["--profile", "smoke", "--set", "nonsense"], "must have the form section.key=value"),
        (["--seeds", "42,1337,42"], "--seeds 42,1337,42 names 42 twice; name each seed once"),
        (["--seeds", "42,x"], "must be whole numbers"),
        (["--seeds", "-1"], "must be whole numbers"),
        (["--sweep", "../up"], "must be of a-z"),
        (["--resume", "nothing"], "is not a sweep in"),
        (["--data", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, error = run(capsys, monkeypatch, "--out", str(tmp_path / "out"), *arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert told in error
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("name", ["cut", "magic", "version", "size"])
def test_a_damaged_shard_is_one_line_and_code_2(
    name: str, tmp_path: Path, tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = damaged(tiny_dataset, tmp_path / "data", name)
    code, error = run(capsys, monkeypatch, *set_flags(), "--data", str(data), "--out", str(tmp_path / "out"))
    assert (code, error.count("\n")) == (2, 1), error
    assert tiny_dataset.train[0].file in error


def test_another_vocabulary_is_one_line_and_code_2(
    tmp_path: Path, tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*set_flags("model.vocab_size=1024"), "--data", str(tiny_dataset.root), "--out", str(tmp_path / "out")]
    code, error = run(capsys, monkeypatch, *flags)
    assert (code, error.count("\n")) == (2, 1), error
    assert "vocab_size=512 must be model.vocab_size=1024" in error


def test_an_output_folder_that_cannot_be_written_is_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    code, error = run(capsys, monkeypatch, "--profile", "smoke", "--out", str(tmp_path / "file" / "out"))
    assert (code, error.count("\n")) == (2, 1), error
    assert "is not writable" in error


def test_seeds_are_read_as_numbers() -> None:
    assert parse_seeds("42, 1337") == (42, 1337)
    assert parse_seeds(None) is None
    with pytest.raises(InputError):
        parse_seeds("")


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """record.py in a process of its own, with a local Ray below ``home``; killed at the end if it still runs."""
    line = script("jobs/record.py", *arguments)
    where = {"env": clean_environment(home), "cwd": ROOT, "text": True}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **where)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


@pytest.mark.ray
def test_a_gpu_profile_without_gpus_ends_within_seconds_with_one_line(tmp_path: Path) -> None:
    with short_folder() as home:
        flags = ["--profile", "record_1421", "--set", "cluster.gpus_per_worker=99", "--out", str(tmp_path / "out")]
        begun = time.monotonic()
        with started(home, *flags) as process:
            _, error = process.communicate(timeout=90)
        lines = [line for line in error.splitlines() if line.startswith("error:")]
        assert process.returncode == 2, error
        assert len(lines) == 1
        assert "792 GPUs" in lines[0]
        assert "Traceback" not in error
        assert time.monotonic() - begun < 60
        assert not (home / ".ray").exists()


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_ctrl_c_stops_the_seed_jobs_within_15_seconds_and_says_how_to_go_on(tiny_dataset: Dataset) -> None:
    with short_folder() as home:
        out = home / "out"
        flags = [*set_flags("train.steps=1000000", "train.val_every=0"), "--seeds", "7,8", "--data", str(tiny_dataset.root)]
        with started(home, *flags, "--out", str(out), "--sweep", "c") as process:
            attempt = AttemptDir(out / "c", 7, 1)
            wait_for(lambda: (attempt.read_heartbeat() or {}).get("step") or process.poll(), 150)
            assert process.poll() is None, process.communicate()
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=30)
            states = {e.fields["seed"]: e.fields["state"] for e in read_events(out / "c" / "events.jsonl")}
            stopped = [e.at for e in read_events(out / "c" / "events.jsonl")][-1] - time.time() + time.monotonic()
        assert states == {7: "CANCELLED", 8: "CANCELLED"}
        assert stopped - asked < 15
        assert process.returncode == 130
        assert "go on with: --resume c" in printed
        wait_for(lambda: not named(str(attempt.folder)), 15)
        assert read_sweep(out / "c").state is State.CANCELLED


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_after_kill_9_resume_goes_on_with_the_trained_weights(tiny_dataset: Dataset) -> None:
    with short_folder() as home:
        out = home / "out"
        flags = [*set_flags(), "--seeds", "7", "--data", str(tiny_dataset.root), "--out", str(out)]
        first, second = AttemptDir(out / "k", 7, 1), AttemptDir(out / "k", 7, 2)
        with started(home, *flags, "--sweep", "k") as process:
            wait_for(lambda: first.finished(Phase.CALIBRATE) or process.poll(), 150, every_s=0.05)
            assert process.poll() is None, process.communicate()
            process.kill()
            process.communicate(timeout=30)
        assert not first.path("result.json").exists()
        wait_for(lambda: not named(str(first.folder)), 15)
        with started(home, *flags, "--resume", "k") as process:
            printed, error = process.communicate(timeout=240)
        assert process.returncode == 0, printed + error
        result = read_sweep(out / "k")
        assert (result.state, result.seeds[0].attempt) == (State.SUCCEEDED, 2)
        assert second.path("ema.safetensors").read_bytes() == first.path("ema.safetensors").read_bytes()
        assert not second.path("train").exists()
        assert json.loads((out / "k" / "seed_7" / "result.json").read_text())["artifact"] == "a2/artifact.ptz"
        assert "7  SUCCEEDED" in printed


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_beside_runs_the_other_profile_after_the_first_and_prints_both(tiny_dataset: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('extends = "smoke"\n')
    with short_folder() as home:
        out = home / "out"
        flags = [*set_flags("train.steps=2", "train.val_every=0"), "--seeds", "7", "--data", str(tiny_dataset.root)]
        with started(home, *flags, "--out", str(out), "--sweep", "b", "--beside", str(other)) as process:
            printed, error = process.communicate(timeout=400)
        assert process.returncode == 0, printed + error
        mine, beside = read_sweep(out / "b"), read_sweep(out / "b-beside")
        assert (mine.profile, beside.profile) == ("smoke", "other")
        assert mine.state is beside.state is State.SUCCEEDED
        assert mine.seeds[0].val_bpb == beside.seeds[0].val_bpb  # the same recipe under another name
    assert "smoke beside other" in printed
    assert "difference" in printed.splitlines()[-1]
