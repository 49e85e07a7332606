"""A result counts only if the disk agrees (P10), and nothing that a job leaves can do harm (P12)."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.outcome import read_result
from cluster.seal import SEAL_FILE, check_seal
from recur.errors import ArtifactError
from recur.record.attempt import AttemptDir, read_seed_result
from recur.record.result import SeedResult, State
from tests.api import fake_attempt
from tests.api.reconciler.kit import Bench, quick_folder
from tests.api.volume import measured, volume

SEALED = ("result.json", "gates.json", "record_fit.json", "record_evaluate.json", "record_verify.json", "intervals.jsonl")
HASH = re.compile(r"[0-9a-f]{64}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with quick_folder() as folder:
        yield Bench(folder)


def ended(bench: Bench, spoil: Callable[[AttemptDir], object], *, seal: bool = True) -> tuple[State, str]:
    """A job writes its result, something happens to its folder, the job ends: state and reason of the attempt."""
    job = bench.running()
    attempt = bench.attempt("swp", 1)
    fake_attempt.finish(attempt, seal=seal)
    spoil(attempt)
    bench.stub.fail(job, message="ended")
    bench.ticks(3)
    row = bench.row("swp", 1)
    assert (row.result is None) is (row.state is not State.SUCCEEDED)
    return row.state, str(row.reason)


def rewrite(name: str, **changes: Any) -> Callable[[AttemptDir], object]:
    """Other values in a JSON file of the attempt."""

    def spoil(attempt: AttemptDir) -> None:
        path = attempt.path(name)
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def test_an_attempt_without_a_seal_counts_if_its_records_agree(bench: Bench) -> None:
    assert ended(bench, lambda _: None, seal=False)[0] is State.SUCCEEDED
    assert check_seal(bench.attempt("swp", 1)) is False


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model_bytes": 2999}, "model_bytes=2999 does not match artifact.ptz on the disk: 3000"),
        ({"total_bytes": 3000}, "total_bytes=3000 does not match model and code bytes: 3017"),
        ({"code_bytes": 0}, "code_bytes=0 does not match the recipe: 17"),
        ({"cap_bytes": 16_000_000}, "cap_bytes=16000000 does not match the recipe: 278000"),
        ({"slack_bytes": 1}, "slack_bytes=1 does not match cap less total bytes: 274983"),
        ({"scored_tokens": 7615}, "scored_tokens=7615 does not match record_evaluate.json: 7616"),
        ({"scored_bytes": 1}, "scored_bytes=1 does not match record_evaluate.json: 12552"),
        ({"val_bpb": {"sliding": 1.0, "roundtrip": 1.1, "trained": 1.1}}, "val_bpb.sliding=1.0 does not match record_evaluate"),
        ({"val_bpb": {"sliding": None}}, "has no final score"),
        ({"model_sha256": None}, "must be the hash of an artifact"),
        ({"model_sha256": "0" * 64}, "is of no payload of record_fit.json (artifact.ptz has "),
        ({"state": "INVALID"}, "where no gate fails"),
        ({"state": "RUNNING"}, "is no end of a run"),
        ({"seed": 2}, "must be of seed 1 attempt 1"),
        ({"attempt": 2}, "must be of seed 1 attempt 1"),
    ],
)
def test_a_number_that_the_disk_contradicts_is_refused_also_without_a_seal(
    bench: Bench, changes: dict[str, Any], rule: str
) -> None:
    state, reason = ended(bench, rewrite("result.json", **changes), seal=False)
    assert state is State.FAILED
    assert rule in reason


def test_tokens_that_the_interval_log_does_not_show_are_refused(bench: Bench) -> None:
    def cut(attempt: AttemptDir) -> None:
        path = attempt.path("intervals.jsonl")
        path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-2]) + b"\n")

    state, reason = ended(bench, cut, seal=False)
    assert (state, "does not match intervals.jsonl: 4000" in reason) == (State.FAILED, True)


def test_tokens_scored_twice_are_refused(bench: Bench) -> None:
    state, reason = ended(bench, lambda a: a.append_interval("score", 10, 20, version=0, stage="sliding"), seal=False)
    assert (state, "scores position" in reason) == (State.FAILED, True)


def test_a_succeeded_result_with_a_failing_gate_is_refused(bench: Bench) -> None:
    def fail(attempt: AttemptDir) -> None:
        path = attempt.path("gates.json")
        path.write_text(path.read_text().replace('"pass"', '"fail"', 1))

    state, reason = ended(bench, fail, seal=False)
    assert (state, "contradicts" in reason) == (State.FAILED, True)


def test_missing_gates_are_refused(bench: Bench) -> None:
    state, reason = ended(bench, lambda a: a.path("gates.json").unlink(), seal=False)
    assert (state, "gates.json is missing" in reason) == (State.FAILED, True)


def test_a_damaged_result_stops_a_job_that_still_runs_before_it_fails(bench: Bench) -> None:
    job = bench.running()
    bench.attempt("swp", 1).path("result.json").write_text("{")
    bench.tick()
    assert bench.row("swp", 1).state is State.CANCELLING
    bench.ticks(2)
    row = bench.row("swp", 1)
    assert bench.stub.stops(job)
    assert row.state is State.FAILED
    assert "result.json is not JSON" in str(row.reason)
    counting = read_seed_result(bench.out / "swp", 1)
    assert counting is not None
    assert counting.state is State.FAILED


@pytest.mark.service
def test_flipped_bits_cut_and_empty_files_are_refused_with_their_name_and_both_hashes() -> None:
    count, chance = volume(60, 1000, gate=30), random.Random("damage")
    without_hashes = []
    for number in range(count):
        name = ("artifact.ptz", *SEALED)[number % 7]
        kind = ("flip", "cut", "empty")[number // 7 % 3]
        with quick_folder() as folder:
            state, reason = ended(Bench(folder), damaging(name, kind, chance))
        assert state is State.FAILED, (name, kind)
        assert name in reason, (name, kind, reason)
        if len(set(HASH.findall(reason))) < 2:
            without_hashes.append((name, kind, reason))
    measured("damage", {"files": count, "refused": count, "without_both_hashes": len(without_hashes)})
    assert not without_hashes, without_hashes[:3]


def damaging(name: str, kind: str, chance: random.Random) -> Callable[[AttemptDir], object]:
    return lambda attempt: damage(attempt.path(name), kind, chance)


def damage(path: Path, kind: str, chance: random.Random) -> None:
    """Flip one bit of a file, cut it, or empty it."""
    data = bytearray(path.read_bytes())
    if kind == "flip":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    else:
        del data[chance.randrange(1, len(data)) if kind == "cut" else 0 :]
    path.write_bytes(bytes(data))


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.path),)


BOMBS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda trap: pickle.dumps(Trap(trap)),
    "deep list": lambda _: b"[" * 1_000_000,
    "deep object": lambda _: b'{"a":' * 300_000,
    "wide list": lambda _: b"[" + b"[]," * 9_000_000 + b"[]]",
    "wide list below the limit": lambda _: b"[" + b"[]," * 340_000 + b"[]]",
    "long number": lambda _: b"9" * 1_000_000,
    "huge exponent": lambda _: b'{"seed": 1, "attempt": 1, "state": "SUCCEEDED", "steps": 1e999}',
    "nothing": lambda _: b"",
    "zeros": lambda _: bytes(64 << 20),
    "not a number": lambda _: (
        b'{"seed": 1, "attempt": 1, "state": "SUCCEEDED", "tokens_per_s": NaN, "val_bpb": {"sliding": NaN}}'
    ),
    "surrogate": lambda _: b'{"seed": 1, "attempt": 1, "state": "SUCCEEDED", "error": "\\ud800\\u0000"}',
}
FILES = ("result.json", "gates.json", "error.json", "heartbeat.json", SEAL_FILE, "record_fit.json", "intervals.jsonl")


def resident_kib(which: str) -> int:
    """This process's memory now (VmRSS) or its peak (VmHWM)."""
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.service
@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_a_bomb_in_any_file_runs_no_code_and_costs_little(bomb: str, tmp_path: Path) -> None:
    worst_s, before = 0.0, resident_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here: other tests had theirs
    for name in FILES:
        with quick_folder() as folder:
            bench = Bench(folder)
            job = bench.running()
            attempt = bench.attempt("swp", 1)
            fake_attempt.finish(attempt)
            attempt.path(name).write_bytes(BOMBS[bomb](tmp_path / "trap"))
            bench.stub.fail(job, message="ended")
            for _ in range(3):
                began = time.process_time()  # other work on the machine does not count
                bench.tick()
                worst_s = max(worst_s, time.process_time() - began)
            bench.ticks(2)
            row = bench.row("swp", 1)
            harmless = name == "heartbeat.json"
            assert row.state is (State.SUCCEEDED if harmless else State.FAILED), (name, bench.loop.health.degraded)
            assert (row.result is not None) is harmless
    grown = resident_kib("VmHWM") - before
    measured(f"bomb_{bomb.replace(' ', '_')}", {"worst_tick_cpu_s": worst_s, "rss_growth_kib": grown})
    assert not (tmp_path / "trap").exists()
    assert worst_s < 2
    assert grown < 300 << 10  # a service that is awake has less than 300 MiB: together less than 600


@pytest.mark.parametrize("name", ["result.json", "gates.json", "error.json"])
def test_a_pipe_or_a_link_in_the_place_of_a_file_is_not_read(bench: Bench, name: str, tmp_path: Path) -> None:
    job = bench.running()
    attempt = bench.attempt("swp", 1)
    fake_attempt.finish(attempt, seal=False)
    attempt.path(name).unlink(missing_ok=True)
    if name == "gates.json":
        os.mkfifo(attempt.path(name))
    else:
        (tmp_path / "secret").write_text('{"kind": "run", "message": "secret"}')
        attempt.path(name).symlink_to(tmp_path / "secret")
    bench.stub.fail(job, message="ended")
    bench.ticks(3)
    row = bench.row("swp", 1)
    assert (row.state, "is not a regular file" in str(row.reason)) == (State.FAILED, True)
    assert "secret" not in str(row.reason)


def test_a_heartbeat_of_nonsense_is_shown_as_nothing(bench: Bench) -> None:
    bench.running()
    beat = {"at": 10**400, "pid": 10**30, "host": "\ud800", "phase": "\0", "step": True, "loss": float("nan"), "steps": "3"}
    bench.attempt("swp", 1).path("heartbeat.json").write_text(json.dumps(beat))
    bench.tick()
    row = bench.row("swp", 1)
    assert (row.state, row.phase, dict(row.progress)) == (State.RUNNING, None, {})
    assert bench.loop.health.degraded is None


def test_a_result_is_taken_in_once(bench: Bench) -> None:
    job = bench.running()
    bench.stub.finish(job)
    bench.ticks(2)
    first = bench.row("swp", 1)
    rewrite("result.json", steps=99)(bench.attempt("swp", 1))
    bench.ticks(3)
    assert bench.row("swp", 1) == first
    found = read_result(bench.attempt("swp", 1))
    assert isinstance(found, SeedResult)


def test_the_seal_names_what_has_changed(bench: Bench) -> None:
    bench.running()
    attempt = bench.attempt("swp", 1)
    fake_attempt.finish(attempt)
    assert check_seal(attempt) is True
    rewrite("record_verify.json", at=0)(attempt)
    with pytest.raises(ArtifactError, match=r"record_verify\.json is damaged: sha256 .* recorded"):
        check_seal(attempt)
