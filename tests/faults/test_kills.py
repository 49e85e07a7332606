"""A worker, a driver, a node killed in each phase, and the head: no seed is lost or counted twice, and artifacts are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cluster.outcome import write_failure
from recur.data.dataset import Dataset
from recur.errors import WorkerLost
from recur.record.attempt import AttemptDir, artifact_path, read_seed_result
from recur.record.journal import read_events
from recur.record.result import Phase, SeedResult, State
from recur.seedspec import SPEC_FILE, save_spec
from tests.api.volume import measured
from tests.cluster.kit import free_ports, ray_head, short_folder, wait_for
from tests.faults.kit import Nodes, Run, below, cluster, kill, seed_spec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

SEED = 42
PHASES = (Phase.TRAIN, Phase.CALIBRATE, Phase.QUANTIZE, Phase.FIT, Phase.EVALUATE, Phase.VERIFY)
ENDS_S = 300


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A seed that nobody disturbed, or that went on in spite of it."""

    result: SeedResult
    artifact: bytes
    attempt: AttemptDir


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def out() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def whole(nodes: Nodes, out: Path, tiny_dataset: Dataset) -> Whole:
    run = Run(seed_spec(out, tiny_dataset, "whole"), (SEED,), nodes.head)
    run.until(lambda: run.loop.done, ENDS_S)
    return counted(run, SEED)


def counted(run: Run, seed: int) -> Whole:
    """The one result that counts, with its artifact."""
    assert run.seat(seed).state is State.SUCCEEDED, run.seat(seed).reason
    result, artifact = read_seed_result(run.plan.root, seed), artifact_path(run.plan.root, seed)
    assert result is not None and artifact is not None
    return Whole(result=result, artifact=artifact.read_bytes(), attempt=run.attempt(seed))


def begun(run: Run, phase: Phase, whole: Whole) -> Run:
    """The sweep with its seed in front of ``phase``: what comes before was finished by an attempt that was lost there.

    Nothing where that is training, of which calibrating is a part.
    """
    if phase not in (Phase.TRAIN, Phase.CALIBRATE):
        spec = replace(run.plan.template, seed=SEED, attempt=1)
        first = spec.attempt_dir.create()
        assert first.adopt(whole.attempt, PHASES[: PHASES.index(phase)]).phases
        save_spec(first.path(SPEC_FILE), spec)
        write_failure(first, WorkerLost("its worker is gone", node_gone=False))
        run.resume()
    return run


def check_same(run: Run, seed: int, whole: Whole) -> Whole:
    """What a disturbed seed ended in is what an undisturbed one does, but for the attempt's number and the clocks."""
    mine = counted(run, seed)
    assert mine.artifact == whole.artifact
    assert (mine.result.val_bpb, mine.result.total_bytes) == (whole.result.val_bpb, whole.result.total_bytes)
    done = [a for a in range(1, mine.result.attempt + 1) if (run.plan.attempt(seed, a).path("result.json")).exists()]
    assert done == [mine.result.attempt], "two attempts have a result"
    return mine


Victim = tuple[str, set[int]]


def victim(run: Run, nodes: Nodes, what: str, phase: Phase) -> Victim | None:
    """What is killed, by name, and the processes that are it; None while there is nothing of it yet."""
    if what == "driver":
        return ("driver", pids) if (pids := run.driver(SEED)) else None
    if phase in (Phase.TRAIN, Phase.CALIBRATE):
        rank0 = run.beat_pid(SEED)
        on = nodes.node_of(rank0) if rank0 is not None else None
        if rank0 is None or on is None:
            return None
        return ("rank 0", {rank0}) if what == "worker" else ("node", below(on.pid))
    pieces = nodes.pieces()
    if what == "worker":
        return next(((title.split("]")[0].strip(), {pid}) for pid, title in pieces.items()), None)
    return next((("node", family) for node in nodes.processes if (family := below(node.pid)) & set(pieces)), None)


@pytest.mark.parametrize("what", ["worker", "driver", "node"])
@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_a_kill_costs_no_seed_and_changes_no_byte(
    phase: Phase, what: str, nodes: Nodes, out: Path, whole: Whole, tiny_dataset: Dataset
) -> None:
    nodes.all_alive()
    run = begun(Run(seed_spec(out, tiny_dataset, f"{what}-{phase}"), (SEED,), nodes.head), phase, whole)
    name, pids = run.until(lambda: victim(run, nodes, what, phase) if run.in_phase(SEED, phase) else None, ENDS_S)
    killed_at = time.time()
    kill(pids)
    assert run.in_phase(SEED, phase), f"{name} was killed after {phase}"
    nodes.bury(pids)
    run.until(lambda: run.loop.done, ENDS_S)
    mine = check_same(run, SEED, whole)
    numbers = {
        "killed": name,
        "attempts": mine.result.attempt,
        "recovered_s": round(signs_after(run, killed_at) - killed_at, 1),
        "ended_s": round(time.time() - killed_at, 1),
    }
    print(f"\nkill {what} in {phase}: {numbers}")
    measured(f"kill_{what}_{phase}", numbers)


def signs_after(run: Run, killed_at: float) -> float:
    """When the attempt that counts was first seen to go on: a phase entered or a step made, or else its end."""
    for event in read_events(run.attempt(SEED).path("progress.jsonl")):
        if event.at > killed_at and event.kind in ("phase", "step"):
            return event.at
    return time.time()


def test_three_seeds_run_on_three_nodes_and_a_fourth_waits(nodes: Nodes, out: Path, tiny_dataset: Dataset) -> None:
    nodes.all_alive()
    seeds = (1, 2, 3, 4)
    run = Run(seed_spec(out, tiny_dataset, "four", "train.steps=150"), seeds, nodes.head)

    def training() -> set[int]:
        return {seed for seed in seeds if run.seat(seed).state is State.RUNNING and run.in_phase(seed, Phase.TRAIN)}

    run.until(lambda: len(training()) == 3, ENDS_S)
    at_once = training()
    waits = (set(seeds) - at_once).pop()
    assert run.seat(waits).state is State.QUEUED
    hosts = {nodes.node_of(pid) for seed in at_once if (pid := run.beat_pid(seed)) is not None}
    assert len(hosts) == 3, "two seeds share a node"
    run.until(lambda: run.loop.done, 600)
    assert [run.seat(seed).state for seed in seeds] == [State.SUCCEEDED] * 4
    assert all(run.seat(seed).attempt == 1 for seed in seeds)


def test_seeds_whose_nodes_are_gone_wait_for_a_node_and_none_fails(nodes: Nodes, out: Path, tiny_dataset: Dataset) -> None:
    """Two of three nodes die at once: what ran there waits for the one that is left, however long its seed takes."""
    nodes.all_alive()
    seeds = (1, 2, 3)
    run = Run(seed_spec(out, tiny_dataset, "gone", "train.steps=150"), seeds, nodes.head)

    def places() -> dict[int, int]:
        """The node of each seed that trains."""
        ranks = {seed: run.beat_pid(seed) for seed in seeds if run.in_phase(seed, Phase.TRAIN)}
        found = {seed: nodes.node_of(pid) for seed, pid in ranks.items() if pid is not None}
        return {seed: node.pid for seed, node in found.items() if node is not None}

    where = run.until(lambda: found if len(found := places()) == 3 else None, ENDS_S)
    for seed in (2, 3):
        family = below(where[seed])
        kill(family)
        nodes.bury(family)
    killed_at = time.time()
    run.until(lambda: run.loop.done, 900)
    assert [run.seat(seed).state for seed in seeds] == [State.SUCCEEDED] * 3, [run.seat(seed).reason for seed in seeds]
    # an attempt more than two where Ray had not yet told that the second node was gone when the slots were counted
    assert run.seat(1).attempt == 1 and all(run.seat(seed).attempt in (2, 3) for seed in (2, 3))
    measured("kill_two_nodes", {"ended_s": round(time.time() - killed_at, 1)})


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.EVALUATE], ids=str)
def test_a_head_that_dies_takes_no_seed_with_it(phase: Phase, out: Path, whole: Whole, tiny_dataset: Dataset) -> None:
    ports = free_ports(6)
    template = seed_spec(out, tiny_dataset, f"head-{phase}")
    with ray_head(cpus=2, gpus=8, ports=ports) as head:
        run = begun(Run(template, (SEED,), head), phase, whole)
        run.until(lambda: run.in_phase(SEED, phase), ENDS_S)
        killed_at = time.time()
        head.end()
    with ray_head(cpus=2, gpus=8, ports=ports) as head:
        wait_for(lambda: head.get("/api/jobs/").status_code == 200, 60)
        run.until(lambda: run.loop.done, ENDS_S)
        mine = check_same(run, SEED, whole)
    numbers = {
        "attempts": mine.result.attempt,
        "recovered_s": round(signs_after(run, killed_at) - killed_at, 1),
        "ended_s": round(time.time() - killed_at, 1),
    }
    print(f"\nkill head in {phase}: {numbers}")
    measured(f"kill_head_{phase}", numbers)
